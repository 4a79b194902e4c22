"""Patience: how often, and after how long, something is tried again that may work the next time."""

import random
import time
from dataclasses import dataclass
from typing import Callable, Optional, TypeVar

from targets.errors import RegistryError

T = TypeVar("T")
_HINT = "Is the network up, and the registry too? The same command goes on where it was."
_ENOUGH = 64 << 10  # bytes in one attempt that count as progress; less, and a transfer could go on for ever


class TransientError(RegistryError):
    """Something failed that may work the next time.

    Attributes:
        wait_s: How long the server asks to wait; None if it does not.
    """

    def __init__(self, what: str, *, hint: str = _HINT, wait_s: Optional[float] = None) -> None:
        self.wait_s = wait_s
        super().__init__(what, hint=hint)


@dataclass(frozen=True)
class Retry:
    """How patient to be.

    Attributes:
        attempts: In a row without progress, before giving up.
        first_s: Pause after the first failure, in seconds; doubles with each.
        most_s: Longest pause.
        longest_wait_s: A server that asks for more than this is given up.
    """

    attempts: int = 5
    first_s: float = 0.5
    most_s: float = 15.0
    longest_wait_s: float = 120.0


class Patience:
    """Counts the failures of one piece of work."""

    def __init__(self, retry: Retry) -> None:
        self._retry = retry
        self._failures = 0

    def progress(self, size: int) -> None:
        """Note that an attempt has moved so many bytes."""
        if size >= _ENOUGH:
            self.renew()

    def renew(self) -> None:
        """Note that the next attempts are other ones than those that failed."""
        self._failures = 0

    def wait(self, error: TransientError) -> None:
        """Wait until the next attempt is due. Pauses are random, so that a fleet does not come back at once.

        Raises:
            TransientError: The one given; there were enough attempts, or too long a pause is asked for.
        """
        self._failures += 1
        asked = error.wait_s or 0.0
        if self._failures >= self._retry.attempts or asked > self._retry.longest_wait_s:
            raise error
        most = min(self._retry.most_s, self._retry.first_s * 2 ** (self._failures - 1))
        time.sleep(asked + random.uniform(most / 2, most))  # noqa: S311 - no secret


def patiently(retry: Retry, attempt: Callable[[], T]) -> T:
    """Do something that can be done again from its beginning, until it works.

    Raises:
        TransientError: It did not.
    """
    patience = Patience(retry)
    while True:
        try:
            return attempt()
        except TransientError as exc:
            patience.wait(exc)
