"""Body: what is sent along with a request; a part of a file can be sent again."""

from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

from targets.errors import RegistryError
from targets.registry.repository import Content, Moved, unheard

_CHUNK = 256 << 10


@dataclass(frozen=True)
class Body:
    """Bytes, or a part of a file.

    Attributes:
        content: Where the bytes are.
        begin: First of them.
        size: How many.
        moved: Told how it goes on.
    """

    content: Content
    begin: int
    size: int
    moved: Moved = unheard

    def chunks(self) -> "Iterator[bytes | memoryview]":
        """Give them piece by piece.

        Raises:
            RegistryError: The file has become shorter.
        """
        if isinstance(self.content, Path):
            return self._read(self.content)
        return iter([memoryview(self.content)[self.begin : self.begin + self.size]])

    def _read(self, path: Path) -> "Iterator[memoryview]":
        buffer = bytearray(_CHUNK)
        left = self.size
        with path.open("rb", buffering=0) as file:
            file.seek(self.begin)
            while left:
                got = file.readinto(memoryview(buffer)[: min(left, _CHUNK)])
                if not got:
                    raise RegistryError(
                        f"{path} has changed while it was sent.", hint="Run the same command again."
                    )
                yield memoryview(buffer)[:got]
                left -= got
                self.moved(got)


def whole(content: bytes) -> Body:
    """Give bytes as a body."""
    return Body(content, 0, len(content))
