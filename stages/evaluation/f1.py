"""F1: the confidence at which a model finds most and errs least, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from stages.evaluation.bootstrap import MIN_PICTURES, find_interval
from stages.evaluation.matching import Matches
from stages.evaluation.precision import count_boxes, sum_weights
from stages.evaluation.scores import ThresholdShift

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Weights = NDArray[np.uint16]

F1_GRID = np.linspace(0, 1, 1001)
F1_WINDOW = 101  # grid points, so 0.1: what Ultralytics smooths its F1 curve by
COLUMNS_AT_ONCE = 1024  # so that the curves, 1001 points each, take 8 MiB an array
ROUNDING = 1e-9  # curves that differ by less have their top at the same place


def find_f1_threshold(matches: Sequence[Matches]) -> float:
    """Give the confidence at which F1 at IoU 0.5, averaged over the classes that have boxes, is best.

    The curve is smoothed: its top is flat, and the bare maximum would jump at the slightest change.
    """
    return float(weighted_f1_thresholds(matches, np.ones((len(matches[0].boxes), 1), np.uint16))[0])


def compare_f1_thresholds(
    baseline: Sequence[Matches], candidate: Sequence[Matches], weights: Weights
) -> ThresholdShift:
    """Say how far the best confidence moved, with an interval over drawn pictures.

    Args:
        baseline: Matches by class id, as `candidate`.
        candidate: On the same pictures.
        weights: As `draw` gives them.
    """
    before, after = weighted_f1_thresholds(baseline, weights), weighted_f1_thresholds(candidate, weights)
    shifts = after - before
    pictures = int(np.count_nonzero(np.any([one.boxes for one in baseline], axis=0)))
    return ThresholdShift(
        baseline=float(before[0]),
        candidate=float(after[0]),
        shift=float(shifts[0]),
        interval=find_interval(shifts[1:], pictures=pictures) if pictures >= MIN_PICTURES else (-1, 1),
    )


def weighted_f1_thresholds(matches: Sequence[Matches], weights: Weights) -> NDArray[np.float64]:
    """Give that confidence for pictures that count several times.

    Args:
        matches: By class id.
        weights: (pictures, W): how often a picture counts, in W cases.

    Returns:
        (W,); 0 where a case has no box at all.
    """
    starts = range(0, weights.shape[1], COLUMNS_AT_ONCE)
    parts = [np.ascontiguousarray(weights[:, start : start + COLUMNS_AT_ONCE]) for start in starts]
    return np.concatenate([_find_tops(mean_f1_curve(matches, part)) for part in parts])


def mean_f1_curve(matches: Sequence[Matches], weights: Weights) -> NDArray[np.float64]:
    """Give (grid, W): mean F1 over the classes that have boxes in a case."""
    total = np.zeros((len(F1_GRID), weights.shape[1]))
    known = np.zeros(weights.shape[1])
    for one in matches:
        boxes = count_boxes(one, weights)
        total += _f1_curve(one, weights, boxes)
        known += boxes > 0
    total /= np.maximum(known, 1)
    return total


def _f1_curve(matches: Matches, weights: Weights, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give F1 = 2 TP / (detections + boxes) at each confidence of the grid, (grid, W); 0 without boxes."""
    judged = np.flatnonzero(~matches.ignored[0])
    right = judged[matches.hits[0, judged]]
    above = _count_above(matches, judged, weights)
    above += boxes
    curve = _count_above(matches, right, weights)
    curve *= 2
    curve /= np.maximum(above, 1, out=above)
    return curve


def _count_above(matches: Matches, rows: NDArray[np.intp], weights: Weights) -> NDArray[np.float64]:
    """Say how much the rows with a score of at least each confidence of the grid weigh, (grid, W)."""
    reached = np.searchsorted(F1_GRID, matches.scores[rows], side="right")
    points, starts = np.unique(-reached, return_index=True)
    counts = np.zeros((len(F1_GRID), weights.shape[1]))
    running = np.zeros(weights.shape[1])
    end = len(F1_GRID)
    pictures = matches.pictures[rows]
    for point, start, stop in zip(-points, starts, [*starts[1:], len(rows)], strict=False):
        counts[point:end] = running
        running += sum_weights(pictures[start:stop], weights)
        end = point
    counts[:end] = running
    return counts


def _find_tops(curves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the confidence at the top of each smoothed curve, (W,)."""
    around = np.pad(curves, ((F1_WINDOW // 2 + 1, F1_WINDOW // 2), (0, 0)), mode="edge")
    sums = np.cumsum(around, axis=0)
    smooth = np.round((sums[F1_WINDOW:] - sums[:-F1_WINDOW]) / F1_WINDOW / ROUNDING)
    tops: NDArray[np.float64] = F1_GRID[smooth.argmax(axis=0)]
    return tops
