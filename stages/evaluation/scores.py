"""Scores and losses: what evaluation finds out, as plain figures. Loads no heavy package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


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
class Curves:
    """What a form is like at every confidence, at IoU 0.5, as means over the classes that have boxes.

    Attributes:
        precision: At recall 0, 0.01 … 1, as COCO counts it.
        f1: At confidence 0, 0.01 … 1.
        scores: Share of the right detections that score from 0 to 0.05, from there to 0.1 … up to 1.
    """

    precision: tuple[float, ...]
    f1: tuple[float, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How well a model finds what is there.

    Attributes:
        map50_95: Mean over the classes that have boxes, 0 to 1.
        map50: Likewise, at IoU 0.5.
        classes: Those that have boxes.
        f1_threshold: Confidence at which the mean F1 at IoU 0.5 is best, 0 to 1.
        curves: Precision, F1 and scores.
    """

    map50_95: float
    map50: float
    classes: tuple[ClassScore, ...]
    f1_threshold: float
    curves: Curves


@dataclass(frozen=True, kw_only=True)
class Loss:
    """How much worse a candidate is than its baseline, in points (1 pt = 0.01); negative is better.

    Attributes:
        loss_pt: On the pictures as they are.
        interval_pt: 95 % interval over resamples of the pictures; (-100, 100) where those that have boxes are
            too few to tell.
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


@dataclass(frozen=True, kw_only=True)
class SizeLoss:
    """What happened to boxes of one size, COCO's, in pixels of the picture.

    Attributes:
        name: `small` up to 32², `medium` up to 96², `large` beyond.
        boxes: To be found, crowds aside.
        baseline: Its mAP50-95 on them, over the classes that have some, 0 to 1.
        candidate: Likewise.
        loss: Of it.
    """

    name: str
    boxes: int
    baseline: float
    candidate: float
    loss: Loss


@dataclass(frozen=True, kw_only=True)
class ThresholdShift:
    """How far the F1-optimal confidence moved.

    Attributes:
        baseline: Its best confidence, 0 to 1.
        candidate: Likewise.
        shift: Candidate less baseline: below 0 the scores fell.
        interval: 95 % interval of the shift; (-1, 1) where the pictures are too few to tell.
    """

    baseline: float
    candidate: float
    shift: float
    interval: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class AtThreshold:
    """What a model is worth at the deployed confidence, at IoU 0.5, all classes together.

    Attributes:
        detections: How many it gives, crowds aside.
        precision: Share of them that is right; None where there are none.
        recall: Share of the boxes that is found.
    """

    detections: int
    precision: float | None
    recall: float


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """Two models at the deployed confidence.

    Attributes:
        conf: That confidence, 0 to 1.
        baseline: The one.
        candidate: The other.
        precision_loss: None where one of them finds nothing.
        recall_loss: In points.
    """

    conf: float
    baseline: AtThreshold
    candidate: AtThreshold
    precision_loss: Loss | None
    recall_loss: Loss


@dataclass(frozen=True, kw_only=True)
class TrueScores:
    """The scores of right detections (IoU 0.5, at any confidence), as two distributions.

    Attributes:
        baseline: Median, 0 to 1; None where nothing is right.
        candidate: Likewise.
        distance: Wasserstein distance: how far scores moved on average, 0 to 1; None where one has none.
    """

    baseline: float | None
    candidate: float | None
    distance: float | None


@dataclass(frozen=True, kw_only=True)
class ChangedBox:
    """A box on a picture, and what became of it.

    Attributes:
        xyxy: In pixels of the picture.
        class_id: What it is said to be.
        score: 0 to 1.
        of: The model that gives it.
        fate: `kept` is there twice, once for each model; only the baseline gives `lost`, only the candidate
            `gained`.
        right: It takes a labelled box.
    """

    xyxy: tuple[float, float, float, float]
    class_id: int
    score: float
    of: Literal["baseline", "candidate"]
    fate: Literal["kept", "lost", "gained"]
    right: bool


@dataclass(frozen=True, kw_only=True)
class PictureChange:
    """What changed on one picture at the deployed confidence.

    Attributes:
        place: Of the picture in the data set's validation pictures.
        file: Its path, as the data set has it.
        lost: Detections of the baseline that the candidate does not give.
        gained: Detections of the candidate that the baseline does not give.
        missed: Labelled boxes that the baseline finds and the candidate does not.
        false_alarms: Of the gained ones, those that are wrong.
        sha256: Of the file's bytes, in hex.
        width: In pixels, as decoded; `height` too.
        boxes: All that either model gives.
    """

    place: int
    file: str
    lost: int
    gained: int
    missed: int
    false_alarms: int
    sha256: str
    width: int
    height: int
    boxes: tuple[ChangedBox, ...]


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What changed at the deployed confidence, box by box (same class, IoU 0.5), on all pictures.

    Attributes:
        kept: Detections that both give.
        lost: As of a picture; so are `gained`, `missed` and `false_alarms`.
        lost_share: Share of the baseline's detections that is lost, in points; None where it gives none.
        score_loss: Mean of what the kept ones lost of their score, 0 to 1; None where none is kept.
        pictures: On how many something was lost or gained.
        worst: The pictures with most missed and false alarms, then with most lost and gained.
    """

    kept: int
    lost: int
    gained: int
    missed: int
    false_alarms: int
    lost_share: Loss | None
    score_loss: float | None
    pictures: int
    worst: tuple[PictureChange, ...]
