"""Steps in processes of their own: a crash, or memory that runs out, ends one step and not the job.

The child reports through a pipe, a JSON line each: `progress`, then `result` or `error`.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any, Callable, ClassVar, Dict, Mapping, Sequence, Type

from targets.errors import (
    DataError,
    DiskFullError,
    EdgeboundError,
    EvidenceError,
    ModelError,
    UnsupportedError,
    UsageError,
)

Progress = Callable[[float, float, str], None]
"""Told what is done, of what in all, and of what it speaks."""

_TELL_S = 0.2  # between two lines about progress
_PDEATHSIG = 1  # PR_SET_PDEATHSIG of prctl(2)
_KINDS: Mapping[str, Type[EdgeboundError]] = {
    kind.__name__: kind
    for kind in (DataError, DiskFullError, EvidenceError, ModelError, UnsupportedError, UsageError)
}


class CrashedError(EdgeboundError):
    """A step ended without a word."""

    code: ClassVar[int] = 1


def run_step(
    agent: Path,
    arguments: Sequence[str],
    *,
    log: Path,
    progress: Progress,
    keep: Sequence[int] = (),
) -> Any:
    """Run a step of this agent in a child.

    Args:
        agent: The archive.
        arguments: Of the step.
        log: Where the child's output goes.
        progress: Told how it goes on.
        keep: File descriptors that the child holds on to.

    Returns:
        The step's result.

    Raises:
        EdgeboundError: What the step raised.
        CrashedError: It ended without a word.
    """
    reading, writing = os.pipe()
    with log.open("ab") as output, os.fdopen(reading, "r", encoding="utf-8") as reports:
        begin = output.tell()
        try:
            child = subprocess.Popen(
                [
                    sys.executable,
                    str(agent),
                    "step",
                    *arguments,
                    *("--report", str(writing), "--parent", str(os.getpid())),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(writing, *keep),
            )
        finally:
            os.close(writing)
        with child:
            try:
                last = _listen(reports, progress)
            except BaseException:
                child.kill()
                raise
        return _conclude(last, child.returncode, arguments[0], _tail(log, begin))


def _listen(reports: "IO[str]", progress: Progress) -> Dict[str, Any]:
    last: Dict[str, Any] = {}
    for line in reports:
        record: Dict[str, Any] = json.loads(line) if line.endswith("\n") else {}
        if "progress" in record:
            progress(*record["progress"])
        else:
            last = record or last
    return last


def _conclude(last: Mapping[str, Any], code: int, step: str, words: str) -> Any:
    if "error" in last:
        error = last["error"]
        raise _KINDS.get(error["kind"], EdgeboundError)(error["what"], hint=error["hint"])
    if "result" in last and code == 0:
        return last["result"]
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    hint = "The job's `log` has all that was said."
    if code == -signal.SIGKILL:
        hint = "The system may have run out of memory: stop other programs, or set a smaller workspace."
    raise CrashedError(f"The step '{step}' {how}{words and ': ' + words}", hint=hint)


def _tail(log: Path, begin: int) -> str:
    """Give the last line that a step said."""
    with log.open("rb") as file:
        file.seek(begin)
        lines = file.read()[-4096:].decode("utf-8", "replace").split("\n")
    said = [line.strip() for line in lines if line.strip()]
    return said[-1] if said else ""


class Reports:
    """The child's end of the pipe."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 — else a grandchild keeps the parent waiting
        self._file = os.fdopen(descriptor, "w", encoding="utf-8", buffering=1)
        self._told_s = 0.0

    def progress(self, done: float, total: float, text: str = "") -> None:
        """Tell how the step goes on; not at every call, which would disturb what is being timed."""
        if time.monotonic() - self._told_s >= _TELL_S or done >= total:
            self._told_s = time.monotonic()
            self._write({"progress": [done, total, text]})

    def result(self, what: Any) -> None:
        """Give what the step made."""
        self._write({"result": what})

    def error(self, error: EdgeboundError) -> None:
        """Say why the step failed."""
        self._write({"error": {"kind": type(error).__name__, "what": error.what, "hint": error.hint}})

    def _write(self, record: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(record) + "\n")


def die_with(parent: int) -> None:
    """End with the parent: a step that outlives its agent would disturb the next one's measurement."""
    ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)
