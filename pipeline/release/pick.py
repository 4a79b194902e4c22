"""Pick: validation pictures on which a device must find what the run found.

What the run kept are detections down to low scores, where a box may have several classes; a detector gives
each box its best class, above the deployed confidence. On a picture without close calls, where no boxes
overlap and no score is near that confidence, the two are the same, and a kernel that differs a little changes
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stages.evaluation.detect import Detections
from targets.model import ModelSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]  # (N, 6): xyxy, score, class

_MARGIN = (
    0.03  # of scores to the confidence: our choice, wide against what two kernels of one engine differ in
)
_OVERLAP = 0.45  # IoU of two boxes from which on NMS is a close call


@dataclass(frozen=True, kw_only=True, eq=False)
class Pick:
    """A picture, by its place among the validation pictures, and what is found on it."""

    place: int
    boxes: Rows


def pick(found: Detections, spec: ModelSpec) -> Iterator[Pick]:
    """Give the pictures without close calls, the most telling first.

    Those that show a class not yet shown come first, then those with detections, then the empty ones.
    """
    ends = np.cumsum(found.counts)
    clear = [
        Pick(place=place, boxes=rows[rows[:, 4] > spec.conf])
        for place, (end, count) in enumerate(zip(ends, found.counts, strict=True))
        if _is_clear(rows := found.boxes[end - count : end], spec)
    ]
    shown: set[int] = set()
    while clear:
        best = max(clear, key=lambda one: (len(_classes(one) - shown), len(one.boxes) > 0))
        clear.remove(best)
        shown |= _classes(best)
        yield best


def _classes(one: Pick) -> set[int]:
    return set(one.boxes[:, 5].astype(int).tolist())


def _is_clear(rows: Rows, spec: ModelSpec) -> bool:
    near = rows[rows[:, 4] > spec.conf - _MARGIN]
    sure = near[near[:, 4] > spec.conf + _MARGIN]
    if len(sure) < len(near) or not np.isfinite(near).all() or len(near) > spec.max_det:
        return False
    overlaps = np.triu(_iou(near[:, :4]), 1)
    return not (overlaps > _OVERLAP).any()


def _iou(boxes: Rows) -> NDArray[np.float64]:
    """Give the IoU of each box with each: (N, N)."""
    left, top, right, bottom = boxes.astype(np.float64).T[:, :, None]
    width = np.clip(np.minimum(right, right.T) - np.maximum(left, left.T), 0, None)
    height = np.clip(np.minimum(bottom, bottom.T) - np.maximum(top, top.T), 0, None)
    areas = (right - left) * (bottom - top)
    union = areas + areas.T - width * height
    found: NDArray[np.float64] = np.divide(width * height, union, out=np.zeros_like(union), where=union > 0)
    return found
