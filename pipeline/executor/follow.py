"""Follow: watch jobs until they have ended, and pass on what they say. What they left says how they ended.

The truth is the job's own: a file with its exit code, which it writes last, and its report. Slurm is asked
for those that left none. So whoever follows may go away, Slurm's controller too, and nothing is lost.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.executor.jobs import Job
from pipeline.executor.slurm import Standing, UnansweredError, find_jobs, look_back
from pipeline.runner import Reporter

_PAUSE_S = (0.5, 5.0)  # between two looks: at first, and once nothing happens any more
_PATIENCE_S = 900.0  # with a controller that does not answer
_LATE_S = (
    10.0  # that a file may take to be seen on another machine of a shared file system (NFS caches names)
)
_STAMP = re.compile(r"^\d{4}-\d\d-\d\dT[\d:]+[+-][\d:]+ ")


@dataclass
class Watched:
    """A job under way.

    Attributes:
        job: It.
        number: Its id.
        result: Path of its files, less their endings.
        standing: As Slurm last said.
        code: That it ended with, as it wrote it; empty until then.
    """

    job: Job
    number: int
    result: Path
    standing: Standing | None = None
    code: str = ""
    _told: str = ""
    _read: int = 0
    _rest: bytes = b""
    _over_since: float = field(default=0.0)

    @property
    def report_file(self) -> Path:
        """Where its report is once it has ended."""
        return self.result.with_name(f"{self.result.name}.json")

    @property
    def log_file(self) -> Path:
        """What it said."""
        return self.result.with_name(f"{self.result.name}.log")

    def ended(self) -> bool:
        """Say whether nothing more is to come of it."""
        exit_file = self.result.with_name(f"{self.result.name}.exit")
        if exit_file.exists():
            self.code = exit_file.read_text().strip()
            return True
        if self.standing is None or not self.standing.over:
            self._over_since = 0.0
            return False
        self._over_since = self._over_since or time.monotonic()
        return time.monotonic() - self._over_since > _LATE_S or self.standing.state == "CANCELLED"

    def new_lines(self) -> Iterator[str]:
        """Give the whole lines that it has said since the last time."""
        if not self.log_file.exists():
            return
        with self.log_file.open("rb") as file:
            file.seek(self._read)
            content = self._rest + file.read()
            self._read = file.tell()
        *lines, self._rest = content.split(b"\n")
        for line in lines:
            yield _STAMP.sub("", line.decode("utf-8", "replace")).rstrip()

    def news(self) -> str:
        """Give how it stands, if that is new, or nothing."""
        if self.standing is None:
            return ""
        text = self.standing.state.lower().replace("_", " ")
        if self.standing.state == "PENDING" and self.standing.reason:
            text += f" ({self.standing.reason})"
        if text == self._told:
            return ""
        self._told = text
        return f"{self.job.name}: job {self.number} is {text}"


def follow(watched: Sequence[Watched], reporter: Reporter) -> None:
    """Watch until all have ended.

    Raises:
        UnansweredError: Slurm has not answered for a quarter of an hour.
    """
    silent_since: float | None = None
    pause_s = _PAUSE_S[0]
    open_ones = list(watched)
    while True:
        try:
            _look(open_ones)
            silent_since = None
        except UnansweredError as exc:
            if silent_since is None:
                reporter.note(exc.what)
                silent_since = time.monotonic()
            elif time.monotonic() - silent_since > _PATIENCE_S:
                raise
        spoke = _tell(open_ones, reporter)
        open_ones = [one for one in open_ones if not one.ended()]
        if not open_ones:
            _tell(watched, reporter)
            return
        reporter.progress(len(watched) - len(open_ones), len(watched), _waiting_for(open_ones))
        pause_s = _PAUSE_S[0] if spoke else min(pause_s * 1.2, _PAUSE_S[1])
        time.sleep(pause_s)


def _look(watched: Iterable[Watched]) -> None:
    found = find_jobs(one.job.called for one in watched)
    for one in watched:
        now = found.get(one.job.called)
        if now is None or now.number != one.number:
            now = look_back(one.number, one.job.called) or Standing(
                number=one.number, called=one.job.called, state="REVOKED", reason="Slurm knows it no more"
            )
        one.standing = now


def _tell(watched: Iterable[Watched], reporter: Reporter) -> bool:
    """Pass on what is new; say whether there was anything."""
    news = [text for one in watched if (text := one.news())]
    said = [f"{one.job.name}: {line}" for one in watched for line in one.new_lines() if line]
    for text in (*news, *said):
        reporter.note(text)
    return bool(news or said)


def _waiting_for(watched: Sequence[Watched]) -> str:
    return ", ".join(one.job.name for one in watched)
