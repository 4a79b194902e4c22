"""Access: what a person or a machine brings along to reach registries."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Mapping, Optional, Tuple

from targets.registry.patience import Retry


@dataclass(frozen=True)
class Access:
    """How to reach registries.

    Attributes:
        environment: The process's: proxies, and where credentials lie.
        ca: File of certificates that are trusted beside the system's (PEM).
        plain_http: Hosts, with their ports, that may be spoken to without TLS. This machine always may.
        connect_s: Longest wait for a connection, in seconds.
        idle_s: Longest silence within one, and the time in which an answer has to begin.
        commit_s: Longest wait after an upload: some registries then copy it within their storage.
        retry: How patient to be.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    ca: Optional[Path] = None
    plain_http: Tuple[str, ...] = ()
    connect_s: float = 10.0
    idle_s: float = 30.0
    commit_s: float = 600.0
    retry: Retry = field(default_factory=Retry)
