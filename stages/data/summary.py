"""Summary: the counts of a data set, for people."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ClassCount:
    """How often a class occurs: boxes, and pictures with at least one."""

    name: str
    train_boxes: int
    train_pictures: int
    val_boxes: int
    val_pictures: int


@dataclass(frozen=True, kw_only=True)
class SplitCount:
    """What is in a split. Box sizes are COCO's, in pixels of the model's input.

    Attributes:
        pictures: All of them.
        background: Pictures without a box.
        unlabelled: Pictures without a label file; they are background too.
        boxes: All of them.
        small: Of area under 32 x 32.
        medium: Of area under 96 x 96.
        large: The others.
        tiny: With a side under 8, the finest stride of a YOLO head; counted in their size as well.
    """

    pictures: int
    background: int
    unlabelled: int
    boxes: int
    small: int
    medium: int
    large: int
    tiny: int


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Pictures that occur again.

    Attributes:
        exact_within: Files whose bytes an earlier one of their split has.
        exact_across: Validation pictures whose bytes a training picture has.
        near_within: Pictures that look the same as an earlier one of their split, re-encoded or resized.
        near_across: Validation pictures that look the same as a training picture.
    """

    exact_within: int
    exact_across: int
    near_within: int
    near_across: int


@dataclass(frozen=True, kw_only=True)
class DataSummary:
    """What a data set holds."""

    classes: tuple[ClassCount, ...]
    train: SplitCount
    val: SplitCount
    duplicates: Duplicates
    calibration_pictures: int
    imgsz: int
