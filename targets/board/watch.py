"""Watch a board while it is measured: a dip in the middle shows neither before nor after."""

from contextlib import contextmanager
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

from targets.board.clocks import Clock, find_gpu, read_devfreq
from targets.board.repeat import repeating
from targets.board.state import Doubt, is_locked, is_slow
from targets.board.thermal import read_throttle_events, read_throttling

RATE_HZ = 10.0
_TICKS = 10  # throttling is looked at once a second: it takes many files


class Watch:
    """What was seen.

    Attributes:
        clocks: Of the GPU, at 10 Hz; empty where it cannot be read.
        throttling: Reasons that the kernel gave, with how often they were seen.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._gpu = find_gpu(root)
        self._events = dict(read_throttle_events(root))
        self._ticks = 0
        self.clocks: List[Clock] = []
        self.throttling: Dict[str, int] = {}

    def look(self) -> None:
        """Look once."""
        clock = read_devfreq(self._gpu) if self._gpu else None
        if clock:
            self.clocks.append(clock)
        if self._ticks % _TICKS == 0:
            for reason in read_throttling(self._root):
                self.throttling[reason] = self.throttling.get(reason, 0) + 1
        self._ticks += 1

    def doubts(self) -> Tuple[Doubt, ...]:
        """Say what dipped or throttled meanwhile; of clocks that were never locked `state.doubts` tells."""
        return (*self._doubt_clocks(), *self._doubt_throttling())

    def _doubt_clocks(self) -> Iterator[Doubt]:
        locked = [clock for clock in self.clocks if is_locked("gpu", clock)]
        slow = [clock for clock in locked if is_slow(clock)]
        if slow:
            lowest = min(slow, key=lambda clock: clock.current)
            share = f"{len(slow)} of {len(self.clocks)} samples"
            found = f"{lowest.current / 1e6:.0f} of {lowest.maximum / 1e6:.0f} MHz"
            yield Doubt(f"the gpu clock fell to {found} in the middle ({share})", "sudo jetson_clocks")
        limits = sorted({clock.maximum for clock in self.clocks})
        if len(limits) > 1:
            span = f"{limits[0] / 1e6:.0f} to {limits[-1] / 1e6:.0f} MHz"
            yield Doubt(f"the limit of the gpu clock changed in the middle ({span})", "sudo jetson_clocks")

    def _doubt_throttling(self) -> Iterator[Doubt]:
        if self.throttling:
            yield Doubt(f"the board throttled in the middle ({', '.join(self.throttling)})", "")
        for reason, count in read_throttle_events(self._root).items():
            more = count - self._events.get(reason, count)
            if more > 0:
                yield Doubt(f"the board was throttled {more} times for {reason} in the middle", "")


@contextmanager
def watching(root: Path = Path("/")) -> Iterator[Watch]:
    """Watch the board while the block runs."""
    watch = Watch(root)
    with repeating(watch.look, rate_hz=RATE_HZ):
        yield watch
