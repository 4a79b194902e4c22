"""Average precision of many resamples of the same pictures at once: exact, as COCO defines it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stages.evaluation.matching import IOU_THRESHOLDS, Matches

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Weights = NDArray[np.uint16]

RECALLS = np.linspace(0, 1, 101)  # COCO's
ROWS_AT_ONCE = 256  # of weights: with 1,000 resamples half a MiB, which a cache holds


def weighted_precisions(matches: Sequence[Matches], weights: Weights) -> Floats:
    """Give COCO's average precision of each class for pictures that count several times.

    Args:
        matches: By class id.
        weights: (pictures, W): how often a picture counts, in W cases.

    Returns:
        (classes, 10, W): by IoU threshold; NaN where a case has no box of the class.
    """
    return np.stack([_weigh(one, weights) for one in matches])


def count_boxes(matches: Matches, weights: Weights) -> Floats:
    """Say how many boxes are to be found in each case, (W,)."""
    return sum_weights(np.repeat(np.arange(len(weights)), matches.boxes), weights)


def sum_weights(pictures: NDArray[np.intp], weights: Weights) -> Floats:
    """Say how much pictures, each as often as it is named, weigh together, (W,).

    A matrix product does the same, but the threads of a BLAS, which wait for more work at full speed, cost
    40 % of everything here on 2 cores.
    """
    total = np.zeros(weights.shape[1])
    for start in range(0, len(pictures), ROWS_AT_ONCE):
        total += weights.take(pictures[start : start + ROWS_AT_ONCE], axis=0).sum(axis=0, dtype=np.uint32)
    return total


def _weigh(matches: Matches, weights: Weights) -> Floats:
    """Give (10, W) of one class.

    Precision counts at hits only. So it is enough to go through the hits once, from the last to the first,
    with counts that fall and an envelope that rises: all resamples and thresholds in one array that fits the
    cache. Nothing is sorted, and no array has detections times resamples elements.
    """
    events = _find_events(matches)
    recall = _Recall.of(matches, weights)
    right, judged = _count_all(events, weights)
    walk = _Walk(recall, right=right, judged=judged)
    for event in reversed(range(len(events.pictures))):
        weight = weights[events.pictures[event]]
        walk.pass_hit(weight, hits=events.hits[event], levels=events.levels[event])
        walk.drop(weight, counted=events.counted[event])
        if events.between[event].size:
            walk.judged -= sum_weights(events.between[event], weights)
    walk.area /= len(RECALLS)
    walk.area[:, recall.boxes == 0] = np.nan
    return walk.area


@dataclass(frozen=True, kw_only=True, eq=False)
class _Events:
    """What of a class's detections has to be looked at one by one: E of them, by falling score.

    Attributes:
        pictures: (E,).
        hits: (E, 10).
        levels: (E,): thresholds, from the lowest, that have to be looked at; 0 where it is no hit.
        counted: (E, 10), or (E, 1) where all thresholds count the same: neither ignored.
        between: The pictures of what counts but is no hit, before each event and after the one before it.
    """

    pictures: NDArray[np.intp]
    hits: NDArray[np.bool_]
    levels: list[int]
    counted: NDArray[np.bool_]
    between: list[NDArray[np.intp]]


def _find_events(matches: Matches) -> _Events:
    hit_rows = np.flatnonzero(matches.hits.any(axis=0))
    end = 1 + hit_rows.max(initial=-1)  # what comes after the last hit changes nothing
    ignored = matches.ignored[:, :end]
    anywhere = ignored.any(axis=0)
    partly = anywhere & ~ignored.all(axis=0)
    rows = np.union1d(hit_rows, np.flatnonzero(partly))
    plain = np.setdiff1d(np.flatnonzero(~anywhere), hit_rows)
    hits = matches.hits[:, rows].T
    counted = ~ignored[:, rows].T
    return _Events(
        pictures=matches.pictures[rows],
        hits=hits,
        levels=np.where(hits, np.arange(1, len(IOU_THRESHOLDS) + 1), 0).max(axis=1, initial=0).tolist(),
        counted=counted if partly.any() else counted[:, :1],
        between=np.split(matches.pictures[plain], np.searchsorted(plain, rows))[: len(rows)],
    )


def _count_all(events: _Events, weights: Weights) -> tuple[Floats, Floats]:
    """Say how much all hits weigh, (10, W), and all that counts, (10, W) or (1, W)."""
    between = sum_weights(np.concatenate([np.empty(0, np.intp), *events.between]), weights)
    right = [sum_weights(events.pictures[hits], weights) for hits in events.hits.T]
    judged = [sum_weights(events.pictures[counted], weights) + between for counted in events.counted.T]
    return np.stack(right), np.stack(judged)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Recall:
    """How many of the 101 recalls so many hits reach; it depends on how many boxes a case has.

    Attributes:
        boxes: (W,): in each case.
        reached: One table after the other, each by number of hits.
        starts: (W,): where in `reached` the table of each case begins.
    """

    boxes: NDArray[np.intp]
    reached: Floats
    starts: NDArray[np.intp]

    @classmethod
    def of(cls, matches: Matches, weights: Weights) -> _Recall:
        boxes = count_boxes(matches, weights).astype(np.intp)
        kinds, kind_of = np.unique(boxes, return_inverse=True)
        hits = np.arange(kinds[-1] + 1)
        reached = np.searchsorted(RECALLS, hits / np.maximum(kinds, 1)[:, None], side="right")
        reached[:, 0] = 0  # without a hit there is no precision, not even at recall 0
        return cls(
            boxes=boxes, reached=reached.ravel().astype(np.float64), starts=kind_of.ravel() * len(hits)
        )


class _Walk:
    """The way from the last hit to the first, for all thresholds and cases at once: arrays of (10, W)."""

    def __init__(self, recall: _Recall, *, right: Floats, judged: Floats) -> None:
        self.area = np.zeros_like(right)
        self.judged = judged
        self._right = right
        self._table = recall.reached
        self._at = right.astype(np.intp) + recall.starts
        self._reached = self._table.take(self._at)
        self._envelope = np.zeros_like(right)
        self._scratch = np.empty_like(right)
        self._before = np.empty_like(right)

    def pass_hit(self, weight: NDArray[np.uint16], *, hits: NDArray[np.bool_], levels: int) -> None:
        """Count a hit's recalls at the best precision from here on, then take it out of the hits."""
        if not levels:
            return
        scratch, before, reached = self._scratch[:levels], self._before[:levels], self._reached[:levels]
        envelope, right, at = self._envelope[:levels], self._right[:levels], self._at[:levels]
        np.divide(right, np.maximum(self.judged[:levels], 1), out=scratch)
        np.maximum(envelope, scratch, out=envelope)
        whole = weight.astype(np.intp)
        # Nearly always a hit at one threshold is one at all below.
        step = whole if hits[:levels].all() else whole * hits[:levels, None]
        right -= step.astype(np.float64)
        at -= step
        self._table.take(at, out=before, mode="clip")  # never out of bounds, and checked it needs a copy
        np.subtract(reached, before, out=scratch)
        scratch *= envelope
        self.area[:levels] += scratch
        reached[:] = before

    def drop(self, weight: NDArray[np.uint16], *, counted: NDArray[np.bool_]) -> None:
        """Take a detection out of those that count."""
        self.judged -= weight if counted.all() else weight * counted[:, None]
