"""Bootstrap: how sure a loss of mAP is, by drawing the validation pictures again and again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from stages.evaluation.matching import IOU_THRESHOLDS, Matches
from stages.evaluation.scores import Loss, Losses

if TYPE_CHECKING:
    from numpy.typing import NDArray

RECALLS = np.linspace(0, 1, 101)  # COCO's
INTERVAL = (2.5, 97.5)  # percentiles: 95 %
CHUNK = 1 << 20  # detections times resamples at once: what fits a cache is 3 times as fast as what doesn't
MIN_PICTURES = 10  # from fewer, resampling says nothing: one picture always gives the same result
ANYTHING_PT = (-100.0, 100.0)


def bootstrap(
    baseline: Sequence[Matches], candidate: Sequence[Matches], *, resamples: int, seed: int
) -> Losses:
    """Compare two models on the same pictures, drawn with replacement.

    Matches don't depend on which pictures are drawn, so a resample only weighs them: exact, and fast. Both
    models see the same draws, so what makes a picture hard for both cancels out.
    """
    pictures = len(baseline[0].boxes)
    weights = _draw(pictures, resamples=resamples, seed=seed)
    losses = weighted_precisions(baseline, weights) - weighted_precisions(candidate, weights)
    enough = pictures >= MIN_PICTURES
    return Losses(
        map50_95=_sum_up(_mean_known(losses.mean(axis=1)), enough=enough),
        ap50=tuple(None if np.isnan(loss[0, 0]) else _sum_up(loss[0], enough=enough) for loss in losses),
    )


def weighted_precisions(matches: Sequence[Matches], weights: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Give COCO's average precision of each class for pictures that count several times.

    Args:
        matches: By class id.
        weights: (pictures, W): how often a picture counts, in W cases.

    Returns:
        (classes, 10, W): by IoU threshold; NaN where a case has no box of the class.
    """
    return np.stack([_weigh_class(one, weights) for one in matches])


def _weigh_class(matches: Matches, weights: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Give (10, W), in portions that fit in memory."""
    width = max(1, CHUNK // max(1, len(matches.scores), int(matches.boxes.sum())))
    starts = range(0, weights.shape[1], width)
    return np.concatenate([_weigh(matches, weights[:, at : at + width]) for at in starts], axis=1)


def _weigh(matches: Matches, weights: NDArray[np.uint16]) -> NDArray[np.float64]:
    boxes = np.matmul(matches.boxes, weights, dtype=np.int64)
    covered = _count_covered_recalls(boxes)
    rows = np.flatnonzero(matches.hits.any(axis=0))
    seen = _count_up_to(rows, np.arange(len(matches.scores)), matches.pictures, weights)
    found = np.empty((len(IOU_THRESHOLDS), weights.shape[1]))
    for level, (hits, ignored) in enumerate(zip(matches.hits, matches.ignored, strict=True)):
        judged = seen - _count_up_to(rows, np.flatnonzero(ignored), matches.pictures, weights)
        here = hits[rows]
        right = np.cumsum(weights[matches.pictures[rows[here]]], axis=0, dtype=np.int64)
        found[level] = _integrate(right, judged[here], covered)
    found[:, boxes == 0] = np.nan
    return found


def _count_up_to(
    rows: NDArray[np.intp],
    counted: NDArray[np.intp],
    pictures: NDArray[np.intp],
    weights: NDArray[np.uint16],
) -> NDArray[np.int32]:
    """Say how much the `counted` rows weigh, up to and including each of `rows`: (len(rows), W)."""
    ends = np.searchsorted(counted, rows, side="right")
    needed = counted[: ends.max(initial=0)]
    total = np.zeros((len(needed) + 1, weights.shape[1]), np.int32)
    np.cumsum(weights[pictures[needed]], axis=0, out=total[1:])
    return total[ends]


def _count_covered_recalls(boxes: NDArray[np.int64]) -> NDArray[np.intp]:
    """Say how many of the 101 recalls n right detections reach: (n, W). None reach even the first."""
    right = np.arange(boxes.max(initial=0) + 1)[:, None]
    covered = np.searchsorted(RECALLS, right / np.maximum(boxes, 1), side="right")
    covered[0] = 0
    return covered


def _integrate(
    right: NDArray[np.int64], judged: NDArray[np.int32], covered: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Give the mean precision over the 101 recalls, from counts at each hit, (hits, W)."""
    precision = right / np.maximum(judged, 1)
    envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    reached = np.take_along_axis(covered, right, axis=0)
    gained = np.diff(reached, axis=0, prepend=0)
    area: NDArray[np.float64] = (envelope * gained).sum(axis=0) / len(RECALLS)
    return area


def _draw(pictures: int, *, resamples: int, seed: int) -> NDArray[np.uint16]:
    """Give how often each picture counts: (pictures, 1 + resamples). The first case is the set itself."""
    drawn = np.random.default_rng(seed).integers(pictures, size=(resamples, pictures))
    drawn += np.arange(resamples)[:, None] * pictures
    counts = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
    weights: NDArray[np.uint16] = np.vstack([np.ones(pictures), counts]).T.astype(np.uint16, order="C")
    return weights


def _mean_known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average over the first axis what is not NaN; NaN where all is."""
    known = ~np.isnan(values)
    mean = np.full(values.shape[1:], np.nan)
    np.divide(np.where(known, values, 0).sum(axis=0), known.sum(axis=0), out=mean, where=known.any(axis=0))
    return mean


def _sum_up(losses: NDArray[np.float64], *, enough: bool) -> Loss:
    """Make a loss of the set's own, in front, and those of its resamples."""
    resampled = losses[1:][~np.isnan(losses[1:])]
    if not enough or not resampled.size:
        return Loss(loss_pt=100 * float(losses[0]), interval_pt=ANYTHING_PT)
    low, high = np.percentile(100 * resampled, INTERVAL)
    return Loss(loss_pt=100 * float(losses[0]), interval_pt=(float(low), float(high)))
