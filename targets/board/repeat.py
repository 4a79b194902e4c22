"""Do something over and over beside a block of code."""

import threading
import time
from contextlib import contextmanager
from typing import Callable, Iterator


@contextmanager
def repeating(work: Callable[[], None], *, rate_hz: float) -> Iterator[None]:
    """Do something over and over in a thread while the block runs, the first time at once."""
    ended = threading.Event()

    def loop() -> None:
        due = time.monotonic()
        while not ended.is_set():
            work()
            # A slow reading delays the next one; it is not made up for by a burst.
            due = max(due + 1 / rate_hz, time.monotonic())
            ended.wait(due - time.monotonic())

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
