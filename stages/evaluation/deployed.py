"""Deployed: what a model's detections are worth at the confidence it is used with; mAP does not show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from stages.dataset import Picture
from stages.evaluation.bootstrap import sum_up
from stages.evaluation.detect import Detections, check_detections
from stages.evaluation.matching import Matches, match_at
from stages.evaluation.overlap import Boxes
from stages.evaluation.precision import count_boxes, sum_weights
from stages.evaluation.scores import AtThreshold, Changes, Deployed, PictureChange, TrueScores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Counts = NDArray[np.float64]

IOU = 0.5  # what counts as the same object, as in AP50


def compare_at(
    conf: float, baseline: Sequence[Matches], candidate: Sequence[Matches], weights: NDArray[np.uint16]
) -> Deployed:
    """Compare precision and recall at a confidence, with intervals over drawn pictures.

    Args:
        conf: Score under which a detection is dropped.
        baseline: Matches by class id, as `candidate`.
        candidate: On the same pictures.
        weights: As `draw` gives them.
    """
    boxes = np.sum([count_boxes(one, weights) for one in baseline], axis=0)
    counts = [_count(matches, conf, weights) for matches in (baseline, candidate)]
    precisions = [_ratio(right, given) for right, given in counts]
    recalls = [_ratio(right, boxes) for right, _ in counts]
    sides = [
        AtThreshold(
            detections=int(given[0]),
            precision=None if np.isnan(precision[0]) else float(precision[0]),
            recall=float(recall[0]),
        )
        for (_, given), precision, recall in zip(counts, precisions, recalls, strict=True)
    ]
    loss = precisions[0] - precisions[1]
    return Deployed(
        conf=conf,
        baseline=sides[0],
        candidate=sides[1],
        precision_loss=None if np.isnan(loss[0]) else sum_up(loss, pictures=len(weights)),
        recall_loss=sum_up(recalls[0] - recalls[1], pictures=len(weights)),
    )


def compare_true_scores(baseline: Sequence[Matches], candidate: Sequence[Matches]) -> TrueScores:
    """Compare the scores of right detections."""
    one, other = (
        np.concatenate([matches.scores[matches.hits[0]] for matches in side]).astype(np.float64)
        for side in (baseline, candidate)
    )
    return TrueScores(
        baseline=float(np.median(one)) if len(one) else None,
        candidate=float(np.median(other)) if len(other) else None,
        distance=wasserstein(one, other) if len(one) and len(other) else None,
    )


def wasserstein(one: Counts, other: Counts) -> float:
    """Give how far values have to be moved, on average, to turn one distribution into the other."""
    values = np.sort(np.concatenate([one, other]))
    shares = [np.searchsorted(np.sort(side), values[:-1], side="right") / len(side) for side in (one, other)]
    return float(np.sum(np.abs(shares[0] - shares[1]) * np.diff(values)))


def list_changes(
    baseline: Detections, candidate: Detections, pictures: Sequence[Picture], *, conf: float, worst: int
) -> Changes:
    """Match two models' detections with each other, box by box.

    Args:
        baseline: Detections on `pictures`, as `candidate`.
        candidate: Of the same classes.
        pictures: With their labels.
        conf: Score under which a detection is dropped.
        worst: How many pictures to name.

    Raises:
        DataError: The detections are of other pictures, or not finite.
    """
    classes = 1 + int(max(side.boxes[:, 5].max(initial=0) for side in (baseline, candidate)))
    for side in (baseline, candidate):
        check_detections(side, pictures=len(pictures), classes=classes)
    before, after = _keep_from(baseline, conf), _keep_from(candidate, conf)
    old, new, true = Boxes.of_detections(before), Boxes.of_detections(after), Boxes.of_pictures(pictures)
    partner = match_at(new, old, after.boxes[:, 4], iou=IOU)
    on_label = match_at(new, true, after.boxes[:, 4], iou=IOU)
    lost = np.setdiff1d(np.arange(len(old.places)), partner)
    seen = match_at(old, true, before.boxes[:, 4], iou=IOU)
    missed = np.setdiff1d(seen[seen >= 0], on_label)
    missed = missed[~true.crowd[missed]]
    gained = partner < 0
    counts = np.stack(
        [
            np.bincount(places, minlength=len(pictures))
            for places in (
                old.places[lost],
                new.places[gained],
                true.places[missed],
                new.places[gained & (on_label < 0)],
            )
        ]
    )
    kept = after.boxes[~gained, 4], before.boxes[partner[~gained], 4]
    totals = counts.sum(axis=1).tolist()
    return Changes(
        kept=len(kept[0]),
        lost=totals[0],
        gained=totals[1],
        missed=totals[2],
        false_alarms=totals[3],
        score_loss=float(np.mean(kept[1] - kept[0], dtype=np.float64)) if len(kept[0]) else None,
        pictures=int(np.count_nonzero(counts.any(axis=0))),
        worst=_rank(counts, pictures, worst),
    )


def _rank(counts: NDArray[np.intp], pictures: Sequence[Picture], worst: int) -> tuple[PictureChange, ...]:
    """Name the worst pictures; of equal ones the first."""
    order = np.lexsort([-(counts[0] + counts[1]), -(counts[2] + counts[3])])
    changed = [int(place) for place in order[:worst] if counts[:, place].any()]
    return tuple(
        PictureChange(
            place=place,
            file=pictures[place].file,
            lost=int(counts[0, place]),
            gained=int(counts[1, place]),
            missed=int(counts[2, place]),
            false_alarms=int(counts[3, place]),
        )
        for place in changed
    )


def _keep_from(detections: Detections, conf: float) -> Detections:
    kept = detections.boxes[:, 4] >= conf
    places = np.repeat(np.arange(len(detections.counts)), detections.counts)[kept]
    counts = np.bincount(places, minlength=len(detections.counts)).astype(np.int32)
    return Detections(counts=counts, boxes=detections.boxes[kept])


def _count(side: Sequence[Matches], conf: float, weights: NDArray[np.uint16]) -> tuple[Counts, Counts]:
    """Say how many detections are right and how many count, in each case, (W,)."""
    given = [one.scores >= conf for one in side]
    right = [one.pictures[rows & one.hits[0]] for one, rows in zip(side, given, strict=True)]
    judged = [one.pictures[rows & ~one.ignored[0]] for one, rows in zip(side, given, strict=True)]
    return sum_weights(np.concatenate(right), weights), sum_weights(np.concatenate(judged), weights)


def _ratio(part: Counts, whole: Counts) -> Counts:
    """Give (W,); NaN where there is no whole."""
    ratio: Counts = np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
    return ratio
