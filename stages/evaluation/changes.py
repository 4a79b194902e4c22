"""Changes: what one model finds and another does not, box by box, and the pictures where that is worst."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from stages.dataset import Picture
from stages.evaluation.bootstrap import sum_up
from stages.evaluation.detect import Detections, check_detections
from stages.evaluation.matching import match_at
from stages.evaluation.overlap import Boxes
from stages.evaluation.precision import sum_weights
from stages.evaluation.scores import ChangedBox, Changes, Loss, PictureChange

if TYPE_CHECKING:
    from numpy.typing import NDArray

IOU = 0.5  # what counts as the same object, as in AP50


def list_changes(
    baseline: Detections,
    candidate: Detections,
    pictures: Sequence[Picture],
    *,
    weights: NDArray[np.uint16],
    conf: float,
    worst: int,
) -> Changes:
    """Match two models' detections with each other, box by box.

    Args:
        baseline: Detections on `pictures`, as `candidate`.
        candidate: Of the same classes.
        pictures: With their labels.
        weights: As `draw` gives them.
        conf: Score under which a detection is dropped.
        worst: How many pictures to name.

    Raises:
        DataError: The detections are of other pictures, or not finite.
    """
    classes = 1 + int(max(side.boxes[:, 5].max(initial=0) for side in (baseline, candidate)))
    for side in (baseline, candidate):
        check_detections(side, pictures=len(pictures), classes=classes)
    true = Boxes.of_pictures(pictures)
    before, after = (_Side.of(_keep_from(side, conf), true) for side in (baseline, candidate))
    partner = match_at(after.boxes, before.boxes, after.scores, iou=IOU)
    before.kept[partner[partner >= 0]] = True
    after.kept[:] = partner >= 0
    counts = _count_changes(before, after, true, pictures=len(pictures))
    lost, gained, missed, false_alarms = counts.sum(axis=1).tolist()
    lost_scores = before.scores[partner[after.kept]] - after.scores[after.kept]
    return Changes(
        kept=len(lost_scores),
        lost=lost,
        gained=gained,
        missed=missed,
        false_alarms=false_alarms,
        lost_share=_share_lost(before, weights),
        score_loss=float(np.mean(lost_scores, dtype=np.float64)) if len(lost_scores) else None,
        pictures=int(np.count_nonzero(counts.any(axis=0))),
        worst=tuple(
            _picture_change(place, counts[:, place].tolist(), pictures[place], before, after)
            for place in _rank(counts)[:worst]
        ),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Side:
    """One model's detections at the deployed confidence.

    Attributes:
        scores: (N,).
        label: (N,): the labelled box that each takes, -1 for none.
        kept: (N,): the other model gives it too.
    """

    boxes: Boxes
    scores: NDArray[np.float32]
    label: NDArray[np.int32]
    kept: NDArray[np.bool_]

    @classmethod
    def of(cls, detections: Detections, true: Boxes) -> _Side:
        boxes, scores = Boxes.of_detections(detections), detections.boxes[:, 4]
        label = match_at(boxes, true, scores, iou=IOU)
        return cls(boxes=boxes, scores=scores, label=label, kept=np.zeros(len(scores), np.bool_))

    @property
    def right(self) -> NDArray[np.bool_]:
        right: NDArray[np.bool_] = self.label >= 0
        return right

    def boxes_on(self, place: int, of: Literal["baseline", "candidate"]) -> Iterator[ChangedBox]:
        """Give what is on one picture."""
        gone: Literal["lost", "gained"] = "lost" if of == "baseline" else "gained"
        for row in np.flatnonzero(self.boxes.places == place):
            x, y, width, height = np.round(self.boxes.ltwh[row], 1).tolist()
            yield ChangedBox(
                xyxy=(x, y, round(x + width, 1), round(y + height, 1)),
                class_id=int(self.boxes.class_ids[row]),
                score=round(float(self.scores[row]), 3),
                of=of,
                fate="kept" if self.kept[row] else gone,
                right=bool(self.right[row]),
            )


def _count_changes(before: _Side, after: _Side, true: Boxes, *, pictures: int) -> NDArray[np.intp]:
    """Count what is lost, gained, missed, and a false alarm on each picture, (4, pictures)."""
    missed = np.setdiff1d(before.label[before.right], after.label)
    places = (
        before.boxes.places[~before.kept],
        after.boxes.places[~after.kept],
        true.places[missed[~true.crowd[missed]]],
        after.boxes.places[~after.kept & ~after.right],
    )
    return np.stack([np.bincount(each, minlength=pictures) for each in places])


def _share_lost(before: _Side, weights: NDArray[np.uint16]) -> Loss | None:
    """Give the share of the baseline's detections that is lost; None where it has none."""
    places = before.boxes.places
    if not len(places):
        return None
    lost, given = sum_weights(places[~before.kept], weights), sum_weights(places, weights)
    shares = np.divide(lost, given, out=np.full(given.shape, np.nan), where=given > 0)
    return sum_up(shares, pictures=len(np.unique(places)))


def _rank(counts: NDArray[np.intp]) -> list[int]:
    """Give the places of the pictures on which something changed, worst first; of equal ones the first."""
    order = np.lexsort([-(counts[0] + counts[1]), -(counts[2] + counts[3])])
    return [int(place) for place in order if counts[:, place].any()]


def _picture_change(
    place: int, counts: Sequence[int], picture: Picture, before: _Side, after: _Side
) -> PictureChange:
    lost, gained, missed, false_alarms = counts
    return PictureChange(
        place=place,
        file=picture.file,
        lost=lost,
        gained=gained,
        missed=missed,
        false_alarms=false_alarms,
        sha256=picture.sha256,
        width=picture.width,
        height=picture.height,
        boxes=(*before.boxes_on(place, "baseline"), *after.boxes_on(place, "candidate")),
    )


def _keep_from(detections: Detections, conf: float) -> Detections:
    kept = detections.boxes[:, 4] >= conf
    places = np.repeat(np.arange(len(detections.counts)), detections.counts)[kept]
    counts = np.bincount(places, minlength=len(detections.counts)).astype(np.int32)
    return Detections(counts=counts, boxes=detections.boxes[kept])
