"""Follow a job until it has ended. May be cut off, and taken up again at any byte."""

import json
import time
from typing import IO, Optional

from targets.agent.job import Job, now
from targets.agent.lock import holder
from targets.errors import UsageError

_POLL_S = 0.2


def follow(job: Job, *, offset: int, out: "IO[str]") -> int:
    """Print each line of `events.jsonl` from a byte on, until the job has ended.

    A job whose agent is gone without an exit code ends with a line that is in no file: `{"event": "lost"}`.

    Returns:
        The job's exit code; 1 for a lost one.

    Raises:
        UsageError: There is no such job.
    """
    if not job.lock.exists():
        raise UsageError(f"There is no job in {job.folder}.", hint="`agent.pyz start` starts one.")
    while True:
        alive = holder(job.lock) is not None  # asked first: what was written before its end is read after
        code = job.code()
        offset = _print(job, offset, out)
        if alive:
            time.sleep(_POLL_S)
        elif code is not None:
            return code
        else:
            out.write(json.dumps({"event": "lost", "at": now()}) + "\n")
            out.flush()
            return 1


def _print(job: Job, offset: int, out: "IO[str]") -> int:
    content = _read(job, offset)
    whole = content[: content.rfind(b"\n") + 1]
    if whole:
        out.write(whole.decode("utf-8", "replace"))
        out.flush()
    return offset + len(whole)


def _read(job: Job, offset: int) -> bytes:
    try:
        with job.events.open("rb") as file:
            file.seek(offset)
            return file.read()
    except FileNotFoundError:
        return b""


def last_event(job: Job) -> Optional[str]:
    """Give the name of the last event; None if there is none."""
    lines = _read(job, 0).splitlines()
    try:
        return str(json.loads(lines[-1])["event"])
    except (IndexError, ValueError, KeyError, TypeError):
        return None
