"""Answer: what a server says, read with a limit on its size and on its slowness."""

import json
import time
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from typing import Optional

from targets.errors import RegistryError
from targets.registry.patience import TransientError

_CHUNK = 256 << 10
_SLOWEST = 1 << 10  # bytes a second, over as long as a silence may be; curl's --speed-limit
_SAID_LIMIT = 64 << 10  # bytes of an error's text


class Answer:
    """The answer to one request.

    Attributes:
        status: HTTP's.
    """

    def __init__(self, response: HTTPResponse, idle_s: float, host: str) -> None:
        self.status = response.status
        self._response = response
        self._idle_s = idle_s
        self._host = host
        self._window_begin = time.monotonic()
        self._window_bytes = 0

    def header(self, name: str) -> str:
        """Give a header; empty if it is not there."""
        return self._response.getheader(name) or ""

    @property
    def size(self) -> Optional[int]:
        """How many bytes the server says will come; None if it does not say."""
        said = self.header("Content-Length")
        return int(said) if said.isdigit() else None

    def read_some(self) -> bytes:
        """Give what has come; nothing at the end.

        Raises:
            TransientError: The connection was cut, or is as good as cut.
        """
        try:
            chunk = self._response.read1(_CHUNK)
        except (OSError, HTTPException, ValueError) as exc:  # ValueError: a chunk of no size
            raise TransientError(f"{self._host} was cut off: {str(exc) or type(exc).__name__}.") from exc
        self._refuse_slow(len(chunk))
        return chunk

    def read(self, limit: int) -> bytes:
        """Give all of a small answer.

        Raises:
            TransientError: The connection was cut.
            RegistryError: There is more than the limit.
        """
        parts, got = [], 0
        while True:
            chunk = self.read_some()
            if not chunk:
                break
            got += len(chunk)
            if got > limit:
                raise RegistryError(
                    f"{self._host} gave more than {limit >> 10} KiB where so much is never needed.",
                    hint="Is this the right registry?",
                )
            parts.append(chunk)
        if self.size is not None and got < self.size and self.status != 204:
            raise TransientError(f"{self._host} was cut off after {got} of {self.size} bytes.")
        return b"".join(parts)

    def said(self) -> str:
        """Give what a registry says of an error, as one line; the beginning of it if it is long."""
        text = self.read(_SAID_LIMIT).decode("utf-8", "replace")
        try:
            errors = json.loads(text)["errors"]
            said = "; ".join(f"{one['code']}: {one.get('message', '')}" for one in errors)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            said = text
        return " ".join("".join(char if char.isprintable() else " " for char in said[:300]).split())

    @property
    def wait_s(self) -> Optional[float]:
        """How long the server asks to wait, in seconds; None if it does not."""
        said = self.header("Retry-After").strip()
        if said.isdigit():
            return float(said[:9])
        try:
            until = parsedate_to_datetime(said)
        except (TypeError, ValueError, IndexError):
            return None
        if until.tzinfo is None:
            until = until.replace(tzinfo=timezone.utc)
        return max(0.0, (until - datetime.now(timezone.utc)).total_seconds())

    def _refuse_slow(self, size: int) -> None:
        self._window_bytes += size
        passed = time.monotonic() - self._window_begin
        if passed > self._idle_s:
            if self._window_bytes < _SLOWEST * passed:
                raise TransientError(f"{self._host} has all but stopped sending.")
            self._window_begin, self._window_bytes = time.monotonic(), 0
