"""Scores and losses: what evaluation finds out, as plain figures. Loads no heavy package."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ClassScore:
    """How well one class is found.

    Attributes:
        name: The class.
        ap50: Average precision at IoU 0.5, 0 to 1.
        ap50_95: Mean of those at IoU 0.5 to 0.95, 0 to 1.
        boxes: To be found, crowds aside.
    """

    name: str
    ap50: float
    ap50_95: float
    boxes: int


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How well a model finds what is there.

    Attributes:
        map50_95: Mean over the classes that have boxes, 0 to 1.
        map50: Likewise, at IoU 0.5.
        classes: Those that have boxes.
        f1_threshold: Confidence at which the mean F1 at IoU 0.5 is best, 0 to 1.
    """

    map50_95: float
    map50: float
    classes: tuple[ClassScore, ...]
    f1_threshold: float


@dataclass(frozen=True, kw_only=True)
class Loss:
    """How much worse a candidate is than its baseline, in points (1 pt = 0.01); negative is better.

    Attributes:
        loss_pt: On the pictures as they are.
        interval_pt: 95 % interval over resamples of the pictures; (-100, 100) where they are too few to tell.
        spread_pt: Standard deviation over the resamples; 100 where the pictures are too few to tell.
    """

    loss_pt: float
    interval_pt: tuple[float, float]
    spread_pt: float


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Losses of a candidate.

    Attributes:
        map50_95: Of the mean over the classes that have boxes.
        ap50: By class id; None for a class without boxes.
        baseline: Its mAP50-95, 0 to 1; NaN where no class has boxes.
        candidate: Likewise.
    """

    map50_95: Loss
    ap50: tuple[Loss | None, ...]
    baseline: float
    candidate: float
