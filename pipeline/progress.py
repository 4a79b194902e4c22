"""Progress for people: a live bar on a terminal, dated lines elsewhere. All of it on stderr."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from pipeline.runner import Done, Reporter

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID
    from typing_extensions import Self

    from targets.registry.repository import Moved, Transfer

_LINE_EVERY_S = 15.0  # a log that grows faster is not read
_MIB = 1 << 20


class Display(Reporter, AbstractContextManager["Display"], Protocol):
    """A reporter that is opened and closed."""


def display() -> Display:
    """Give what suits stderr: a terminal or a log."""
    return LiveDisplay() if sys.stderr.isatty() else LogDisplay()


class LogDisplay(AbstractContextManager["LogDisplay"]):
    """Plain dated lines, for CI logs and files."""

    def __init__(self) -> None:
        self._title = ""
        self._last = 0.0

    def started(self, title: str) -> None:
        """Remember that a step begins; one that is done at once needs no line for it."""
        self._title = title
        self._last = -_LINE_EVERY_S

    def progress(self, done: float, total: float, note: str = "") -> None:
        """Say how far the step is, every now and then."""
        if time.monotonic() - self._last < _LINE_EVERY_S:
            return
        self._last = time.monotonic()
        share = f"{done / total:.0%}" if total else ""
        self.note(f"{self._title}: {share} {note}".rstrip())

    def finished(self, done: Done) -> None:
        """Say that a step is done."""
        self.note(f"{done.title}: {said(done)}")

    def note(self, text: str) -> None:
        """Print a line."""
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        print(f"{now} {text}", file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to tidy."""


class LiveDisplay(AbstractContextManager["LiveDisplay"]):
    """A line for each finished step and a bar for the one under way: elapsed and remaining time, note."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.progress import TimeRemainingColumn as Remaining

        self._bar: Progress = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            Remaining(),
            TextColumn("[dim]{task.fields[note]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop drawing; the terminal is as before."""
        self._bar.stop()

    def started(self, title: str) -> None:
        """Show a bar."""
        self._drop()
        self._task = self._bar.add_task(title, total=None, note="")

    def progress(self, done: float, total: float, note: str = "") -> None:
        """Move the bar."""
        if self._task is not None:
            self._bar.update(self._task, completed=done, total=total or None, note=note)

    def finished(self, done: Done) -> None:
        """Leave a line."""
        self._drop()
        mark = "[dim]·[/dim]" if done.cached else "[green]✓[/green]"
        self._bar.console.print(f"{mark} {done.title:<44} [dim]{said(done)}[/dim]", highlight=False)

    def note(self, text: str) -> None:
        """Leave a line."""
        from rich.markup import escape

        self._bar.console.print(f"  [dim]{escape(text)}[/dim]", highlight=False)

    def _drop(self) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None


def transfers(shown: Reporter) -> Transfer:
    """Give what shows the bytes of each transfer on a display."""

    def begin(what: str, total: int) -> Moved:
        shown.started(what)
        so_far = 0

        def moved(size: int) -> None:
            nonlocal so_far
            so_far += size
            shown.progress(so_far, total, f"{so_far / _MIB:.1f} of {total / _MIB:.1f} MiB")

        return moved

    return begin


def said(done: Done) -> str:
    """Give how a step ended."""
    return "cached" if done.cached else f"done in {done.seconds:.1f} s"
