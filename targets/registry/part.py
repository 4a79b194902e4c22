"""Part: an unfinished file beside its place, of one process at a time."""

import fcntl
import os
from pathlib import Path
from typing import IO

from targets.errors import RegistryError
from targets.registry.content import Descriptor

_CHUNK = 1 << 20


def part_of(blob: Descriptor, path: Path) -> Path:
    """Give where an unfinished blob is kept."""
    return path.with_name(f".{blob.hex}.part")


def open_part(part: Path) -> "IO[bytes]":
    """Open an unfinished file, for this process alone.

    Raises:
        RegistryError: Another process has it.
    """
    while True:
        descriptor = os.open(str(part), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        file = os.fdopen(descriptor, "r+b", _CHUNK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            file.close()
            raise RegistryError(
                f"Another process is fetching {part.parent} at this moment.", hint="Wait until it has ended."
            ) from exc
        if part.exists() and os.path.samestat(os.fstat(descriptor), part.stat()):
            return file
        file.close()  # it was finished, and put into its place, between the two calls
