"""Deployed: what a model's detections are worth at the confidence it is used with; mAP does not show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from stages.evaluation.bootstrap import sum_up
from stages.evaluation.matching import Matches
from stages.evaluation.precision import count_boxes, sum_weights
from stages.evaluation.scores import AtThreshold, Deployed, TrueScores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Counts = NDArray[np.float64]


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
