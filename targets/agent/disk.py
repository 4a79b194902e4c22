"""Room on the disk: looked at before, and explained when it runs out."""

import errno
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from targets.errors import DiskFullError, EvidenceError
from targets.kit import MODEL_NAME, Kit

_BYTES_PER_PICTURE = 300 * 24 * 2  # 300 boxes, in the job and in receipt.zip
_ENGINES_PER_MODEL = 3  # as it is built, in receipt.zip, and while the fastest of several tries is looked for
_MARGIN = 8 << 20  # logs, timing cache, latency samples
_HINT = "Free some space on the board (`agent.pyz clean` helps), and run the same command again: it goes on."


def refuse_full_disk(job: Path, kit: Kit) -> None:
    """See that there is room for what a job writes.

    Raises:
        DiskFullError: There is not.
    """
    models = sum(kit.files[f"models/{model.id}/{MODEL_NAME}"].size for model in kit.models)
    needed = models * _ENGINES_PER_MODEL + len(kit.pictures) * _BYTES_PER_PICTURE + _MARGIN
    free = shutil.disk_usage(str(job)).free
    if free < needed:
        raise DiskFullError(
            f"{job} has room for {free >> 20} MiB; the work needs about {(needed >> 20) + 1} MiB.", hint=_HINT
        )


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn what a file system says around `folder` into our errors.

    Raises:
        DiskFullError: The disk is full.
        EvidenceError: The folder cannot be written.
    """
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(f"The disk that holds {folder} is full.", hint=_HINT) from exc
        if exc.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise EvidenceError(
                f"{exc.filename or folder} cannot be written: {exc.strerror}.",
                hint="Copy the kit to a folder that you may write to, or name one with --job.",
            ) from exc
        raise
