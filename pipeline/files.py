"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from targets.errors import DiskFullError, StoreError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_CLOSED = {errno.EROFS, errno.EACCES, errno.EPERM}


def write_atomically(path: Path, content: bytes) -> None:
    """Write `path` so that a reader, or a power cut, meets the old content or the new, nothing between.

    Raises:
        DiskFullError: No space is left; the old content is still there.
        StoreError: The folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    with explained(path):
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn "disk full" and "may not write" around `path` into our errors; let others through."""
    try:
        yield
    except OSError as exc:
        if exc.errno in _FULL:
            raise DiskFullError(
                f"The disk that holds {path} is full.",
                hint="Free some space (`pipeline store gc` helps) and run the same command again.",
            ) from exc
        if exc.errno in _CLOSED:
            raise StoreError(
                f"{exc.filename or path} cannot be written: {exc.strerror}.",
                hint="Run in a folder that you may write to, or name one with --root.",
            ) from exc
        raise
