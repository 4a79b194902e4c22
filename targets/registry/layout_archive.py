"""Layout archive: an OCI image layout in a tar file, read where it lies: nothing is unpacked.

Format: POSIX ustar; all names that a layout needs fit into its 100 characters. Python's tarfile is not used:
it reads extended headers, however large, into memory.
"""

import io
from pathlib import Path
from typing import IO, Dict, Tuple

from targets.errors import RegistryError

_BLOCK = 512
_MOST_MEMBERS = 200_000
_PLAIN = (b"0", b"\0")
_HINT = "Write it with `skopeo copy … oci-archive:file.tar`, or with `tar -C folder -cf file.tar .`"


class Archive:
    """The files of a tar archive.

    Attributes:
        place: The archive.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        try:
            with place.open("rb") as file:
                self._members = _read_members(file, place.stat().st_size)
        except FileNotFoundError as exc:
            raise RegistryError(f"There is no {place}.", hint="Is the path right?") from exc
        except (OSError, ValueError) as exc:
            raise RegistryError(f"{place} cannot be read as a tar archive: {exc}.", hint=_HINT) from exc

    def open(self, name: str) -> "IO[bytes]":
        """Open a plain file."""
        begin, size = self._find(name)
        return io.BufferedReader(_Slice(self.place, begin, size))

    def size(self, name: str) -> int:
        """Give its size in bytes."""
        return self._find(name)[1]

    def _find(self, name: str) -> Tuple[int, int]:
        if name not in self._members:
            raise FileNotFoundError(name)
        return self._members[name]


class _Slice(io.RawIOBase):
    """A part of a file."""

    def __init__(self, path: Path, begin: int, size: int) -> None:
        self._file = path.open("rb", buffering=0)
        self._file.seek(begin)
        self._left = size

    def readable(self) -> bool:
        """Say that this can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read as RawIOBase does."""
        got = self._file.readinto(memoryview(buffer)[: self._left]) or 0
        self._left -= got
        return got

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def _read_members(file: "IO[bytes]", end: int) -> Dict[str, Tuple[int, int]]:
    """Give where each plain file begins, and its size, by name.

    Raises:
        ValueError: This is no tar archive, or one that no tool writes.
    """
    members: Dict[str, Tuple[int, int]] = {}
    at = 0
    while True:
        header = file.read(_BLOCK)
        if not header.strip(b"\0"):
            return members
        name, kind, size = _read_header(header)
        begin = at + _BLOCK
        if begin + size > end:
            raise ValueError(f"{name!r} goes on after its end")
        if name in members or len(members) == _MOST_MEMBERS:
            raise ValueError(f"{name!r} is there twice" if name in members else "it has too many members")
        if kind in _PLAIN:
            members[name] = begin, size
        at = begin + -(-size // _BLOCK) * _BLOCK
        file.seek(at)


def _read_header(header: bytes) -> Tuple[str, bytes, int]:
    if len(header) < _BLOCK or header[257:262] != b"ustar":
        raise ValueError("it is compressed, or no tar at all")
    blank = header[:148] + b" " * 8 + header[156:]
    if sum(blank) != _number(header[148:156]):
        raise ValueError("a header is damaged")
    name = header[:100].rstrip(b"\0").decode("ascii", "replace")
    return name[2:] if name.startswith("./") else name, header[156:157], _number(header[124:136])


def _number(field: bytes) -> int:
    if field[:1] == b"\x80":  # GNU's, of files over 8 GiB
        return int.from_bytes(field[1:], "big")
    return int(field.strip(b" \0") or b"0", 8)
