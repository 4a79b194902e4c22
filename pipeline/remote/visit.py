"""A visit to a device: bring the kit, start the job, watch it, fetch the receipt. May be cut off anywhere."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.files import explained
from pipeline.remote.agent import Agent
from pipeline.remote.link import UnreachableError, ask, error_of, failure, talk
from pipeline.remote.persist import Patience, persist
from pipeline.runner import Reporter
from targets.folder import describe_file
from targets.kit import FILE_NAME, SEAL_NAME
from targets.transfer import Landing, receive, send

_RESTARTS = 2  # of an agent that is gone without a word

Moved = Callable[[], None]


@dataclass
class Visit:
    """One kit's work on one device.

    Attributes:
        agent: There.
        max_age_h: An older measurement is made again, in hours.
        reporter: Told how it goes on.
        patience: With the connection.
    """

    agent: Agent
    max_age_h: float
    reporter: Reporter
    patience: Patience
    _offset: int | None = None
    _sent: int = 0
    _fetched: int = 0
    _failed: Mapping[str, Any] | None = field(default=None)
    _lost: bool = False

    def make(self, workdir: Path) -> Path:
        """Do it all.

        Args:
            workdir: Here, for the receipt; kept, so that a transfer goes on where it was.

        Returns:
            The receipt's folder; nothing in it has been checked but its transfer.

        Raises:
            UnreachableError: The connection is lost for good.
            EdgeboundError: The work failed there; in the device's own words.
        """
        name = self.agent.device.name
        self.reporter.started(f"kit to {name}")
        self._persist(self._bring)
        try:
            self._work()
        except KeyboardInterrupt:
            self.reporter.note(f"The work goes on on {name}; the same command takes it up again.")
            raise
        self.reporter.started(f"receipt from {name}")
        with explained(workdir):
            workdir.mkdir(parents=True, exist_ok=True)
            self._persist(lambda moved: self._fetch(workdir, moved))
        self._tidy()
        return workdir / "receipt"

    def _persist(self, work: Callable[[Moved], None]) -> None:
        persist(self.agent.link, work, patience=self.patience, reporter=self.reporter)

    def _bring(self, moved: Moved) -> None:
        folder = self.agent.parcel.folder
        files = {
            **self.agent.parcel.kit.files,
            **{name: describe_file(folder / name) for name in (FILE_NAME, SEAL_NAME)},
        }

        def count(done: int, total: int) -> None:
            if done > self._sent:  # not what was there before
                self._sent = done
                moved()
            self.reporter.progress(done, total, _mib(done, total))

        with talk(self.agent.link, f"umask 077; {self.agent.line('take', '--kit', self.agent.kit)}") as pipes:
            send(folder, files, pipes.source, pipes.sink, count)

    def _work(self) -> None:
        for _ in range(1 + _RESTARTS):
            self._persist(self._start)
            self._failed, self._lost = None, False
            self._persist(self._follow)
            if not self._lost:
                return
            self.reporter.note(f"{self.agent.device.name}: the agent was killed; it is started again.")
        raise error_of(
            self.agent.device,
            1,
            f"The agent was killed {1 + _RESTARTS} times.",
            f"The board may have run out of memory; its log is {self.agent.job}/log there.",
        )

    def _start(self, moved: Moved) -> None:
        del moved
        wait_s = self.agent.device.wait_s
        words = [
            "--json",
            "--kit",
            self.agent.kit,
            "--max-age-h",
            f"{self.max_age_h}",
            "--wait-s",
            f"{wait_s}",
        ]
        answer = ask(
            self.agent.link,
            f"umask 077; echo offset $({{ wc -c < {self.agent.job}/events.jsonl; }} 2>/dev/null); "
            + self.agent.line("start", *words),
            timeout_s=600,  # each file of the kit is read, from an SD card perhaps
        )
        if answer.code:
            raise failure(self.agent.device, answer)
        if self._offset is None:
            found = [line.split()[1:] for line in answer.output.splitlines() if line.startswith("offset")]
            self._offset = int(found[0][0]) if found and found[0] else 0

    def _follow(self, moved: Moved) -> None:
        """Hear what happens until the job has ended.

        Raises:
            UnreachableError: The connection broke.
            EdgeboundError: The job failed.
        """
        moved()
        line = self.agent.line("follow", "--job", self.agent.job, "--from", str(self._offset))
        code: int | None = None
        with talk(self.agent.link, f'{line}; echo "{{\\"event\\": \\"end\\", \\"code\\": $?}}"') as pipes:
            for content in iter(pipes.lines.readline, b""):
                event = _event(content)
                if event.get("event") == "end":
                    code = int(event["code"])
                elif event:
                    moved()
                    self._hear(event, len(content))
        if code is None:
            raise UnreachableError("The connection was cut off.", hint="Run the same command again.")
        if code and not self._lost:
            words = self._failed or {"text": f"The job ended with exit code {code}.", "hint": ""}
            raise error_of(self.agent.device, code, words["text"], words["hint"])

    def _hear(self, event: Mapping[str, Any], size: int) -> None:
        name = self.agent.device.name
        kind = event["event"]
        if kind == "lost":  # in no file
            self._lost = True
            return
        self._offset = (self._offset or 0) + size
        text = " ".join(str(event[key]) for key in ("id", "text") if event.get(key))
        if kind == "phase":
            self.reporter.started(f"{event['phase']} on {name}")
        elif kind == "progress":
            self.reporter.progress(event["done"], event["total"], text)
        elif kind in ("note", "warning"):
            self.reporter.note(f"{name}: {text}")
        elif kind == "failed":
            self._failed = event
        elif kind == "started":
            self._failed = None

    def _fetch(self, workdir: Path, moved: Moved) -> None:
        def count(done: int, total: int) -> None:
            if done > self._fetched:
                self._fetched = done
                moved()
            self.reporter.progress(done, total, _mib(done, total))

        with talk(self.agent.link, self.agent.line("give", "--job", self.agent.job)) as pipes:
            receive(Landing(workdir / "receipt", workdir / "incoming"), pipes.source, pipes.sink, count)

    def _tidy(self) -> None:
        """Remove older kits there; that this fails is worth a note."""
        try:
            answer = ask(self.agent.link, self.agent.line("clean", "--keep", str(self.agent.device.keep)))
        except UnreachableError as exc:
            self.reporter.note(f"{self.agent.device.name}: not tidied up: {exc.what}")
            return
        if answer.code:
            self.reporter.note(f"not tidied up: {failure(self.agent.device, answer).what}")


def _event(content: bytes) -> Mapping[str, Any]:
    """Read a line; empty for what a login shell says, or for one that was cut off."""
    try:
        record = json.loads(content) if content.endswith(b"\n") else {}
    except ValueError:
        return {}
    return record if isinstance(record, dict) and "event" in record else {}


def _mib(done: int, total: int) -> str:
    return f"{done / 2**20:.0f} of {math.ceil(total / 2**20)} MiB"
