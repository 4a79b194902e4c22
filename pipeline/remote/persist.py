"""Go on after each cut: connect again, wait longer each time, and give up when nothing has moved for long."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pipeline.remote.link import Link, UnreachableError
from pipeline.runner import Reporter

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to try.

    Attributes:
        first_s: Pause after the first cut, in seconds; each further one is twice as long.
        longest_s: Longest pause, in seconds.
        give_up_s: Without anything that moves, in seconds: longer than a board takes to restart.
    """

    first_s: float = 0.5
    longest_s: float = 30
    give_up_s: float = 600


def persist(
    link: Link, work: Callable[[Callable[[], None]], T], *, patience: Patience, reporter: Reporter
) -> T:
    """Do something on a device, and go on after each cut.

    Args:
        link: To the device.
        work: Does it, and goes on where it was when it is called again. Calls what it is given when something
            has moved.
        patience: How long to try.
        reporter: Told of a cut.

    Raises:
        UnreachableError: Nothing has moved for long.
    """
    clock = _Clock(patience)
    while True:
        try:
            link.connect()
            return work(clock.moved)
        except UnreachableError as exc:
            if clock.is_over():
                raise
            if clock.is_first_pause:
                reporter.note(f"{link.device.name}: no connection, trying again: {exc.what}")
            clock.wait()


class _Clock:
    """Counts from the first cut after which nothing moved."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._since: float | None = None
        self._pause_s = patience.first_s

    def moved(self) -> None:
        """Begin again: there is hope."""
        self._since = None
        self._pause_s = self._patience.first_s

    @property
    def is_first_pause(self) -> bool:
        """Whether this is the first cut since something moved."""
        return self._pause_s == self._patience.first_s

    def is_over(self) -> bool:
        """Whether to give up."""
        self._since = self._since or time.monotonic()
        return time.monotonic() - self._since >= self._patience.give_up_s

    def wait(self) -> None:
        """Wait before the next attempt, each time longer."""
        time.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, self._patience.longest_s)
