"""A job: the folder where a kit's work is done, so that it can be left, resumed and watched.

```
lock              held as long as an agent works here
kit               id of the kit
events.jsonl      what happened, a line each
log               what runtimes and children said
build/<id>/       engine/, made.json, build.log, layers.json; there only when done
start/<id>.json   how a fresh process got on with the engine
measure.json      how fast the engines are
verify/<id>.npz   what an engine found, and <id>.json
rc                exit code, once the job has ended
receipt/          and receipt.zip
```
"""

import json
import os
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Mapping, Optional, Tuple

from targets.errors import UsageError

Tell = Callable[[Mapping[str, Any]], None]
_RESERVE = 64 << 10  # bytes: so much is left for the last words when the disk is full


@dataclass(frozen=True)
class Job:
    """A job's folder."""

    folder: Path

    @property
    def lock(self) -> Path:
        """Held as long as an agent works here."""
        return self.folder / "lock"

    @property
    def events(self) -> Path:
        """What happened, a JSON line each."""
        return self.folder / "events.jsonl"

    @property
    def log(self) -> Path:
        """What runtimes and children said."""
        return self.folder / "log"

    @property
    def receipt(self) -> Path:
        """The receipt's folder."""
        return self.folder / "receipt"

    def code(self) -> Optional[int]:
        """Give the exit code; None if the job has not ended."""
        try:
            return int((self.folder / "rc").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def prepare(self, kit_id: str) -> None:
        """Make the folder ready for an agent, who holds its lock.

        Raises:
            UsageError: It belongs to another kit.
        """
        owner = self.folder / "kit"
        known = owner.read_text(encoding="utf-8").strip() if owner.exists() else kit_id
        if known != kit_id:
            raise UsageError(
                f"The work in {self.folder} belongs to kit {known[:12]}, not to {kit_id[:12]}.",
                hint="Name another folder with --job, or remove this one.",
            )
        self.forget("rc")
        write(owner, kit_id + "\n")
        write(self.folder / "reserve", "\0" * _RESERVE)
        _mend(self.events)

    def end(self, code: int) -> None:
        """Note the exit code."""
        self.forget("reserve")
        write(self.folder / "rc", f"{code}\n")

    def forget(self, *names: str) -> None:
        """Remove files, if they are there."""
        for name in names:
            path = self.folder / name
            if path.exists():
                path.unlink()


class Journal:
    """Writes down what happens to a job, and tells whoever listens."""

    def __init__(self, job: Job, tell: Tell) -> None:
        self._path = job.events
        self._reserve = job.folder / "reserve"
        self._tell = tell

    def write(self, event: str, **facts: Any) -> None:
        """Write an event, with the time."""
        record = {"event": event, "at": now(), **facts}
        self._tell(record)
        line = (json.dumps(record) + "\n").encode()
        descriptor = os.open(str(self._path), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)

    def last_words(self, **facts: Any) -> None:
        """Write that the job has failed, on a full disk too."""
        if self._reserve.exists():
            self._reserve.unlink()
        self.write("failed", **facts)


def now() -> str:
    """Give the time, ISO 8601, UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def write(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.part")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def kept(path: Path, key: str) -> Tuple[bool, Any]:
    """Read a result that was kept for `key`; whether there is one, and what it says."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return record["for"] == key, record["what"]
    except (OSError, ValueError, KeyError, TypeError):
        return False, None


def keep(path: Path, key: str, what: Any) -> None:
    """Keep a result for `key`: what it depends on beside the kit."""
    write(path, json.dumps({"for": key, "what": what}, allow_nan=False) + "\n")


def _mend(events: Path) -> None:
    """Cut off a line that a killed agent did not finish, so that each line is whole."""
    if not events.exists():
        return
    content = events.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        os.truncate(str(events), len(whole))
