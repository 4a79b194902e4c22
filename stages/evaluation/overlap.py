"""Overlap: which boxes of two sets lie on each other, and how much."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stages.dataset import Picture
from stages.evaluation.detect import Detections

if TYPE_CHECKING:
    from numpy.typing import NDArray

PAIRS_AT_ONCE = 1 << 20  # about 150 MiB with all that is computed of them


@dataclass(frozen=True, kw_only=True, eq=False)
class Boxes:
    """N boxes on the pictures of a data set.

    Attributes:
        ltwh: (N, 4): left, top, width, height in pixels of the picture.
        places: (N,): which picture of the data set each is on; never falls.
        class_ids: (N,).
        crowd: (N,): it stands for a group.
    """

    ltwh: NDArray[np.float64]
    places: NDArray[np.intp]
    class_ids: NDArray[np.intp]
    crowd: NDArray[np.bool_]

    @classmethod
    def of_pictures(cls, pictures: Sequence[Picture]) -> Boxes:
        """Give the boxes that are to be found."""
        counts = [len(picture.boxes) for picture in pictures]
        sizes = np.repeat(
            np.array([(picture.width, picture.height) * 2 for picture in pictures]).reshape(-1, 4),
            counts,
            axis=0,
        )
        rows = np.concatenate([np.empty((0, 5)), *(picture.boxes for picture in pictures)])
        ltwh: NDArray[np.float64] = rows[:, 1:] * sizes
        ltwh[:, :2] -= ltwh[:, 2:] / 2
        return cls(
            ltwh=ltwh,
            places=np.repeat(np.arange(len(pictures)), counts),
            class_ids=rows[:, 0].astype(np.intp),
            crowd=np.concatenate([np.empty(0, np.bool_), *(picture.crowd for picture in pictures)]),
        )

    @classmethod
    def of_detections(cls, detections: Detections) -> Boxes:
        """Give the boxes that were found."""
        ltwh = detections.boxes[:, :4].astype(np.float64)
        ltwh[:, 2:] -= ltwh[:, :2]
        return cls(
            ltwh=ltwh,
            places=np.repeat(np.arange(len(detections.counts)), detections.counts),
            class_ids=detections.boxes[:, 5].astype(np.intp),
            crowd=np.zeros(len(ltwh), np.bool_),
        )

    @property
    def areas_px2(self) -> NDArray[np.float64]:
        """Give (N,), in square pixels of the picture."""
        areas: NDArray[np.float64] = self.ltwh[:, 2] * self.ltwh[:, 3]
        return areas


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """P pairs of boxes of one class on one picture that overlap, by rising `found`, then rising `true`.

    Attributes:
        found: (P,): row of the one.
        true: (P,): row of the other.
        overlaps: (P,): IoU; with a crowd, the share of the found box in it.
    """

    found: NDArray[np.intp]
    true: NDArray[np.intp]
    overlaps: NDArray[np.float64]


def find_pairs(found: Boxes, true: Boxes, *, at_least: float) -> Pairs:
    """Find all pairs that overlap by `at_least`. Memory is bounded, but for what is returned."""
    classes = 1 + max(found.class_ids.max(initial=0), true.class_ids.max(initial=0))
    keys = true.places * classes + true.class_ids
    by_key = np.argsort(keys, kind="stable")
    wanted = found.places * classes + found.class_ids
    first = np.searchsorted(keys[by_key], wanted, side="left")
    counts = np.searchsorted(keys[by_key], wanted, side="right") - first
    parts = []
    for rows in _portions(counts):
        repeats = counts[rows]
        one = np.repeat(np.arange(rows.start, rows.stop), repeats)
        steps = np.arange(len(one)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
        other = by_key[np.repeat(first[rows], repeats) + steps]
        overlaps = _overlap(found.ltwh[one], true.ltwh[other], true.crowd[other])
        enough = overlaps >= at_least
        parts.append((one[enough], other[enough], overlaps[enough]))
    return Pairs(
        found=np.concatenate([np.empty(0, np.intp), *(part[0] for part in parts)]),
        true=np.concatenate([np.empty(0, np.intp), *(part[1] for part in parts)]),
        overlaps=np.concatenate([np.empty(0), *(part[2] for part in parts)]),
    )


def _portions(counts: NDArray[np.intp]) -> Iterator[slice]:
    """Cut the rows so that each part has about `PAIRS_AT_ONCE` pairs."""
    ends = np.cumsum(counts)
    start = 0
    while start < len(counts):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + PAIRS_AT_ONCE, side="right")))
        yield slice(start, stop)
        start = stop


def _overlap(
    found: NDArray[np.float64], true: NDArray[np.float64], crowd: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Give the overlap of rows, (P,).

    The order of operations is COCO's, so that a box on the very threshold falls on the same side.
    """
    common = np.minimum(found[:, :2] + found[:, 2:], true[:, :2] + true[:, 2:]) - np.maximum(
        found[:, :2], true[:, :2]
    )
    area = np.where((common > 0).all(axis=1), common[:, 0] * common[:, 1], 0)
    found_area = found[:, 2] * found[:, 3]
    union = np.where(crowd, found_area, found_area + true[:, 2] * true[:, 3] - area)
    overlap: NDArray[np.float64] = np.divide(area, union, out=np.zeros_like(area), where=area > 0)
    return overlap
