"""Peek: a first look at a data set, for `pipeline init`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median

from stages.data import Data
from stages.data.items import list_items
from stages.data.source import describe
from stages.dataset import decode_picture
from targets.errors import DataError

LOOKED_AT = 16  # pictures, spread over the training split


@dataclass(frozen=True, kw_only=True)
class Peek:
    """What a data set seems to be.

    Attributes:
        class_names: By class id.
        train_pictures: In the training split.
        val_pictures: In the validation split.
        median_side_px: Of the longer sides of some training pictures.
    """

    class_names: tuple[str, ...]
    train_pictures: int
    val_pictures: int
    median_side_px: int


def peek(path: Path) -> Peek:
    """Look at a data YAML or COCO JSON and some of its pictures.

    Raises:
        UsageError: There is no such file, or it is of no kind that we read.
        DataError: It is broken, or none of the pictures looked at can be read.
    """
    items = list_items(describe(Data(path=path.name), path.parent))
    sides = [_side_px(Path(item.path)) for item in items.train[:: -(-len(items.train) // LOOKED_AT)]]
    if not any(sides):
        raise DataError(f"{path}: none of {len(sides)} pictures can be read.", hint="Look at the files.")
    return Peek(
        class_names=items.class_names,
        train_pictures=len(items.train),
        val_pictures=len(items.val),
        median_side_px=round(median(filter(None, sides))),
    )


def _side_px(path: Path) -> int:
    """Give the longer side of a picture; 0 if it cannot be read, which is for `Data.run` to report."""
    try:
        pixels = decode_picture(path.read_bytes())
    except OSError:
        return 0
    return 0 if pixels is None else max(pixels.shape)
