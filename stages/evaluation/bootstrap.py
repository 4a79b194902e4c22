"""Bootstrap: how sure a loss of mAP is, by drawing the validation pictures again and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stages.evaluation.matching import IOU_THRESHOLDS, Matches

if TYPE_CHECKING:
    from numpy.typing import NDArray

RECALLS = np.linspace(0, 1, 101)  # COCO's
INTERVAL = (2.5, 97.5)  # percentiles: 95 %
CHUNK = 1 << 22  # detections times resamples at once: 16 MiB an array
MIN_PICTURES = 10  # from fewer, resampling says nothing: one picture always gives the same result
ANYTHING_PT = (-100.0, 100.0)


@dataclass(frozen=True, kw_only=True)
class Loss:
    """How much worse a candidate is than its baseline, in points (1 pt = 0.01); negative is better.

    Attributes:
        loss_pt: On the pictures as they are.
        interval_pt: 95 % interval over resamples of the pictures.
    """

    loss_pt: float
    interval_pt: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Losses of a candidate.

    Attributes:
        map50_95: Of the mean over the classes that have boxes.
        ap50: By class id; None for a class without boxes.
    """

    map50_95: Loss
    ap50: tuple[Loss | None, ...]


def bootstrap(
    baseline: Sequence[Matches], candidate: Sequence[Matches], *, resamples: int, seed: int
) -> Losses:
    """Compare two models on the same pictures, drawn with replacement.

    Matches don't depend on which pictures are drawn, so a resample only weighs them: exact, and fast. Both
    models see the same draws, so what makes a picture hard for both cancels out.
    """
    pictures = len(baseline[0].boxes)
    weights = _draw(pictures, resamples=resamples, seed=seed)
    losses = average_precisions(baseline, weights) - average_precisions(candidate, weights)
    enough = pictures >= MIN_PICTURES
    return Losses(
        map50_95=_sum_up(_mean_known(losses.mean(axis=1)), enough=enough),
        ap50=tuple(None if np.isnan(loss[0, 0]) else _sum_up(loss[0], enough=enough) for loss in losses),
    )


def average_precisions(matches: Sequence[Matches], weights: NDArray[np.int32]) -> NDArray[np.float64]:
    """Give COCO's average precision of each class for pictures that count several times.

    Args:
        matches: By class id.
        weights: (pictures, W): how often a picture counts, in W cases.

    Returns:
        (classes, 10, W): by IoU threshold; NaN where a case has no box of the class.
    """
    return np.stack([_weigh_class(one, weights) for one in matches])


def _weigh_class(matches: Matches, weights: NDArray[np.int32]) -> NDArray[np.float64]:
    """Give (10, W), in portions that fit in memory."""
    width = max(1, CHUNK // max(1, len(matches.scores), int(matches.boxes.sum())))
    starts = range(0, weights.shape[1], width)
    return np.concatenate([_weigh(matches, weights[:, at : at + width]) for at in starts], axis=1)


def _weigh(matches: Matches, weights: NDArray[np.int32]) -> NDArray[np.float64]:
    boxes = matches.boxes @ weights
    covered = _count_covered_recalls(boxes)
    rows = np.flatnonzero(matches.hits.any(axis=0))
    everything = np.ones(len(matches.scores), np.bool_)
    seen = _count_up_to(rows, everything, matches.pictures, weights)
    found = np.empty((len(IOU_THRESHOLDS), weights.shape[1]))
    for level, (hits, ignored) in enumerate(zip(matches.hits, matches.ignored, strict=True)):
        judged = seen - _count_up_to(rows, ignored, matches.pictures, weights) if ignored.any() else seen
        hit_rows = rows[hits[rows]]
        right = np.cumsum(weights[matches.pictures[hit_rows]], axis=0)
        found[level] = _integrate(right, judged[hits[rows]], covered)
    found[:, boxes == 0] = np.nan
    return found


def _count_up_to(
    rows: NDArray[np.intp],
    counted: NDArray[np.bool_],
    pictures: NDArray[np.intp],
    weights: NDArray[np.int32],
) -> NDArray[np.int64]:
    """Count, with weights, the detections up to and including each of `rows`: (len(rows), W)."""
    if not len(rows):
        return np.empty((0, weights.shape[1]), np.int64)
    upto = np.where(counted[: rows[-1] + 1, None], weights[pictures[: rows[-1] + 1]], 0)
    return np.cumsum(np.add.reduceat(upto, np.concatenate([[0], rows[:-1] + 1]), axis=0), axis=0)


def _count_covered_recalls(boxes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Say how many of the 101 recalls n right detections reach: (n, W). None reach even the first."""
    right = np.arange(boxes.max(initial=0) + 1)[:, None]
    covered = np.searchsorted(RECALLS, right / np.maximum(boxes, 1), side="right")
    covered[0] = 0
    return covered


def _integrate(
    right: NDArray[np.int64], judged: NDArray[np.int64], covered: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Give the mean precision over the 101 recalls, from counts at each hit, (hits, W)."""
    precision = right / np.maximum(judged, 1)
    envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    reached = np.take_along_axis(covered, right, axis=0)
    gained = np.diff(reached, axis=0, prepend=0)
    area: NDArray[np.float64] = (envelope * gained).sum(axis=0) / len(RECALLS)
    return area


def _draw(pictures: int, *, resamples: int, seed: int) -> NDArray[np.int32]:
    """Give how often each picture counts: (pictures, 1 + resamples). The first case is the set itself."""
    drawn = np.random.default_rng(seed).integers(pictures, size=(resamples, pictures))
    drawn += np.arange(resamples)[:, None] * pictures
    counts = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
    return np.vstack([np.ones(pictures), counts]).T.astype(np.int32, order="C")


def _mean_known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average over the first axis what is not NaN; NaN where all is."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0).sum(axis=0)
    return np.divide(total, known.sum(axis=0), out=np.full_like(total, np.nan), where=known.any(axis=0))


def _sum_up(losses: NDArray[np.float64], *, enough: bool) -> Loss:
    """Make a loss of the set's own, in front, and those of its resamples."""
    resampled = losses[1:][~np.isnan(losses[1:])]
    if not enough or not resampled.size:
        return Loss(loss_pt=100 * float(losses[0]), interval_pt=ANYTHING_PT)
    low, high = np.percentile(100 * resampled, INTERVAL)
    return Loss(loss_pt=100 * float(losses[0]), interval_pt=(float(low), float(high)))
