"""Watch: tells the time that training waits for pictures from the time that it computes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Watch:
    """A clock for batches: ready, came, done; ready, came, done.

    It synchronizes with no GPU: the trainer reads the loss of each batch before it is done, which waits for
    all that was launched, so that a GPU has nothing to do from then until the next batch came.

    Attributes:
        waiting_s: Of this epoch, up to now.
        computing_s: Likewise.
        last_ms: Waiting and computing of the last batch.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.waiting_s = 0.0
        self.computing_s = 0.0
        self.last_ms = (0.0, 0.0)
        self._clock = clock
        self._ready = self._came = 0.0
        self._first = True  # for which loading processes start

    def begin_epoch(self) -> None:
        """Begin to count anew."""
        self.waiting_s = self.computing_s = 0.0
        self.ready()

    def ready(self) -> None:
        """Take note that the next batch could come."""
        self._ready = self._clock()

    def came(self) -> None:
        """Take note that it came."""
        self._came = self._clock()

    def done(self) -> None:
        """Take note that it has been computed."""
        waiting, computing = self._came - self._ready, self._clock() - self._came
        self.last_ms = (waiting * 1000, computing * 1000)
        if not self._first:
            self.waiting_s += waiting
            self.computing_s += computing
        self._first = False
