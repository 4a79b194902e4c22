"""Counts: the summary of a data set, and what in it deserves a warning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from stages.box_sizes import SIZE_NAMES, sides_px, sizes_of
from stages.data.labels import Labels
from stages.data.summary import ClassCount, DataSummary, SplitCount
from stages.dataset import Picture

TINY_PX = 8  # the finest stride of a YOLO head
TINY_SHARE = 0.05  # of boxes; with more, a warning
RARE = 100  # times fewer boxes than the most frequent class; with less, a warning


def count_split(pictures: Sequence[Picture], labels: Sequence[Labels], imgsz: int) -> SplitCount:
    """Count what is in a split."""
    sizes = np.concatenate([sizes_of(picture, imgsz) for picture in pictures])
    sides = np.concatenate([sides_px(picture, imgsz) for picture in pictures])
    small, medium, large = np.bincount(sizes, minlength=len(SIZE_NAMES)).tolist()
    return SplitCount(
        pictures=len(pictures),
        background=sum(not len(picture.boxes) for picture in pictures),
        unlabelled=sum(one.missing for one in labels),
        boxes=len(sizes),
        small=small,
        medium=medium,
        large=large,
        tiny=int((sides.min(axis=1, initial=np.inf) < TINY_PX).sum()),
    )


def count_classes(
    names: Sequence[str], train: Sequence[Picture], val: Sequence[Picture]
) -> tuple[ClassCount, ...]:
    """Count boxes and pictures of each class."""
    figures = [_per_class(pictures, len(names)) for pictures in (train, val)]
    return tuple(
        ClassCount(
            name=name, train_boxes=boxes, train_pictures=pictures, val_boxes=in_val, val_pictures=pictures_val
        )
        for name, boxes, pictures, in_val, pictures_val in zip(names, *figures[0], *figures[1], strict=True)
    )


def _per_class(pictures: Sequence[Picture], classes: int) -> tuple[list[int], list[int]]:
    """Give boxes and pictures of each class."""
    boxes, occurs = np.zeros(classes, np.int64), np.zeros(classes, np.int64)
    for picture in pictures:
        count = np.bincount(picture.boxes[:, 0].astype(int), minlength=classes)
        boxes += count
        occurs += count > 0
    return boxes.tolist(), occurs.tolist()


def warn_of_balance(summary: DataSummary) -> Iterator[str]:
    """Say which classes and sizes of boxes will be hard to learn, or to judge."""
    most = max(one.train_boxes for one in summary.classes)
    for one in summary.classes:
        if not one.train_boxes:
            yield f"Class {one.name} has no boxes in train: it cannot be learnt."
        elif one.train_boxes * RARE < most:
            yield f"Class {one.name} is rare: {one.train_boxes} boxes in train, the most frequent has {most}."
        if not one.val_boxes:
            yield f"Class {one.name} has no boxes in val: what quantization does to it will not be seen."
    for name, split in (("train", summary.train), ("val", summary.val)):
        if split.tiny > TINY_SHARE * split.boxes:
            yield (
                f"{split.tiny} of {split.boxes} boxes in {name} have a side under {TINY_PX} px at imgsz "
                f"{summary.imgsz}: raise train.imgsz, or cut the pictures into tiles."
            )
