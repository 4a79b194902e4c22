"""Take a kit that comes through stdin, and give a receipt through stdout: the board's end of a connection."""

import contextlib
import json
import signal
from pathlib import Path
from typing import IO, Any, Dict, Iterator, Tuple

from targets.agent.disk import explained
from targets.agent.job import Job
from targets.agent.lock import wait_for_lock
from targets.engine import EngineFile
from targets.errors import EvidenceError
from targets.folder import describe_files, is_safe
from targets.kit import FILE_NAME, JOB_NAME
from targets.transfer import Find, Landing, Source, receive, send

_QUIET_S = 60  # without a byte: the connection is dead, though the kernel does not know yet
_WAIT_S = 2.0 * _QUIET_S  # for another transfer of the same kit to end


def take_kit(kit: Path, incoming: Path, source: Source, sink: "IO[bytes]") -> None:
    """Receive a kit's files; what other kits beside it hold too need not be sent.

    Args:
        kit: Its folder.
        incoming: Where unfinished files are kept.
        source: From the host.
        sink: To the host.

    Raises:
        CutError: The host is gone.
        DiskFullError: There is no room.
        EvidenceError: Another connection brings the same kit.
        ModelError: A file arrived damaged.
    """
    note: Dict[str, Any] = {"kit": str(kit)}
    with explained(kit):
        # Never closed: it is held until this process ends.
        lock = wait_for_lock(incoming / f"{kit.name}.lock", note, wait_s=_WAIT_S, waiting=lambda _: None)
        if lock is None:
            raise EvidenceError(
                f"Another connection brings the kit to {kit}.", hint="Run the same command again later."
            )
        kit.mkdir(parents=True, exist_ok=True)
        landing = Landing(kit, incoming / kit.name, beside=(JOB_NAME,), find=_finder(kit))
        receive(landing, _Watched(source), sink, lambda *_: None)


def give_receipt(job: Job, source: Source, sink: "IO[bytes]") -> None:
    """Send a job's receipt.

    Raises:
        CutError: The host is gone.
        EvidenceError: There is none.
    """
    if not job.receipt.is_dir():
        raise EvidenceError(
            f"There is no receipt in {job.folder}.", hint="`agent.pyz start` starts the job again."
        )
    send(job.receipt, describe_files(job.receipt, but=()), source, sink, lambda *_: None)


class _Watched:
    """Reads as long as something comes; this process ends where nothing does."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def read1(self, size: int, /) -> bytes:
        signal.alarm(_QUIET_S)
        found = self._source.read1(size)
        signal.alarm(0)
        return found

    def readline(self, limit: int, /) -> bytes:
        signal.alarm(_QUIET_S)
        found = self._source.readline(limit)
        signal.alarm(0)
        return found


def _finder(kit: Path) -> Find:
    """Look for files in the kits beside one: validation pictures are the same in most."""
    here: Dict[EngineFile, Path] = {}
    for other in kit.parent.glob(f"*/{FILE_NAME}"):
        here.update(_listed(other))
    return here.get


def _listed(kit_json: Path) -> Iterator[Tuple[EngineFile, Path]]:
    with contextlib.suppress(
        OSError, ValueError, KeyError, TypeError, AttributeError
    ):  # broken, or of another format
        files = json.loads(kit_json.read_text(encoding="utf-8"))["files"]
        for name, entry in files.items():
            path = kit_json.parent / name
            if is_safe(name) and path.is_file():
                yield EngineFile(str(entry["sha256"]), int(entry["size"])), path
