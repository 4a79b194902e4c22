"""A run: what it is asked for, and how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from pipeline.config import Config
from pipeline.forms import Shared
from pipeline.kits import Order
from pipeline.ladder import TargetResult
from pipeline.runner import Runner
from stages.data import Prepared
from targets.profile import TargetProfile


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a run is asked for.

    Attributes:
        config: Settings.
        profiles: Targets by the names they were asked by.
        folder: Relative paths start here, and `.edgebound` is here.
        until: Last stage to run, or empty.
        order: How it was asked for, which a kit's receipt is judged by; its target is filled in.
        receipts: Folders of receipts that a person brought, by target.
    """

    config: Config
    profiles: Mapping[str, TargetProfile]
    folder: Path
    until: str = ""
    order: Order = field(default_factory=Order)
    receipts: Mapping[str, Path] = field(default_factory=dict)


@dataclass
class Run:
    """A run under way."""

    request: Request
    runner: Runner
    directory: Path
    host: str
    data: Prepared | None = None
    shared: Shared | None = None
    targets: dict[str, TargetResult] = field(default_factory=dict)

    @property
    def now(self) -> datetime:
        """The time, with its zone."""
        return datetime.now(timezone.utc)
