"""Room on the disk, explained when it runs out."""

import contextlib
import errno
import shutil
from pathlib import Path
from typing import Iterator

from targets.errors import DiskFullError, RegistryError

_MARGIN = 8 << 20  # bytes; a disk that is full to the last is of no use to anybody
_HINT = "Free some space and run the same command again: it goes on where it was."


def refuse_full_disk(folder: Path, needed: int) -> None:
    """See that there is room for so many bytes.

    Raises:
        DiskFullError: There is not.
    """
    free = shutil.disk_usage(str(folder)).free
    if free < needed + _MARGIN:
        raise DiskFullError(
            f"{folder} has room for {free >> 20} MiB; {(needed + _MARGIN >> 20) + 1} MiB are needed.",
            hint=_HINT,
        )


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what a file system says around a path into our errors.

    Raises:
        DiskFullError: The disk is full.
        RegistryError: It cannot be written or read.
    """
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(f"The disk that holds {path} is full.", hint=_HINT) from exc
        raise RegistryError(
            f"{exc.filename or path} cannot be used: {exc.strerror or exc}.",
            hint="Name a folder that you may write to.",
        ) from exc
