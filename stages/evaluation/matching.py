"""Matching: which detections are right, by COCO's rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stages.dataset import Picture
from stages.evaluation.detect import Detections

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Flags = NDArray[np.bool_]

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)


@dataclass(frozen=True, kw_only=True, eq=False)
class Matches:
    """What became of the detections of one class, N on P pictures, sorted by falling score.

    Attributes:
        scores: (N,).
        pictures: (N,): which picture each is on.
        hits: (10, N): it matches a box, at each IoU threshold.
        ignored: (10, N): it matches a crowd, so it is neither right nor wrong.
        boxes: (P,): boxes to be found on each picture, crowds aside.
    """

    scores: NDArray[np.float32]
    pictures: NDArray[np.intp]
    hits: Flags
    ignored: Flags
    boxes: NDArray[np.intp]


def match(detections: Detections, pictures: Sequence[Picture], *, classes: int) -> tuple[Matches, ...]:
    """Match detections with boxes, as COCO's evaluation does.

    A detection takes the box of its class that it overlaps most, of those that none with a higher score took.

    Returns:
        Matches by class id.
    """
    hits = np.zeros((len(IOU_THRESHOLDS), len(detections.boxes)), np.bool_)
    ignored = np.zeros_like(hits)
    ends = np.cumsum(detections.counts)
    for picture, start, end in zip(pictures, ends - detections.counts, ends, strict=True):
        if len(picture.boxes) and start < end:
            part = slice(start, end)
            hits[:, part], ignored[:, part] = _match_picture(detections.boxes[part], picture)
    where = np.repeat(np.arange(len(pictures)), detections.counts)
    by_score = np.argsort(-detections.boxes[:, 4], kind="stable")
    found = detections.boxes[by_score, 5]
    by_class = [by_score[found == class_id] for class_id in range(classes)]
    return tuple(
        Matches(
            scores=detections.boxes[rows, 4],
            pictures=where[rows],
            hits=hits[:, rows],
            ignored=ignored[:, rows],
            boxes=_count_boxes(pictures, class_id),
        )
        for class_id, rows in enumerate(by_class)
    )


def to_ltwh(picture: Picture) -> NDArray[np.float64]:
    """Give a picture's boxes as left, top, width, height in pixels, (N, 4)."""
    size = np.array([picture.width, picture.height] * 2)
    boxes: NDArray[np.float64] = picture.boxes[:, 1:] * size
    boxes[:, :2] -= boxes[:, 2:] / 2
    return boxes


def found_to_ltwh(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Give detections (N, 6) as left, top, width, height in pixels, (N, 4)."""
    boxes = rows[:, :4].astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    return boxes


def _count_boxes(pictures: Sequence[Picture], class_id: int) -> NDArray[np.intp]:
    return np.array(
        [np.count_nonzero((picture.boxes[:, 0] == class_id) & ~picture.crowd) for picture in pictures],
        np.intp,
    )


def _match_picture(rows: NDArray[np.float32], picture: Picture) -> tuple[Flags, Flags]:
    """Say which detections, sorted by falling score, are hits, and which are ignored: (10, N) each."""
    overlaps = _overlap(found_to_ltwh(rows), to_ltwh(picture), picture.crowd)
    overlaps[rows[:, 5:] != picture.boxes[:, 0]] = 0
    ordinary = overlaps[:, ~picture.crowd]
    ignored = overlaps[:, picture.crowd].max(axis=1, initial=0) >= IOU_THRESHOLDS[:, None]
    hits = np.zeros_like(ignored)
    taken = np.zeros((len(IOU_THRESHOLDS), ordinary.shape[1]), np.bool_)
    for row in np.flatnonzero((ordinary >= IOU_THRESHOLDS[0]).any(axis=1)):
        free = np.where(taken, 0, ordinary[row])
        last_best = free.shape[1] - 1 - free[:, ::-1].argmax(axis=1)  # of equal ones COCO takes the last
        hits[:, row] = free.max(axis=1) >= IOU_THRESHOLDS
        taken[hits[:, row], last_best[hits[:, row]]] = True
    return hits, ignored & ~hits


def _overlap(found: NDArray[np.float64], boxes: NDArray[np.float64], crowd: Flags) -> NDArray[np.float64]:
    """Give the IoU of each detection with each box, (N, M); with a crowd, the share of the detection in it.

    The order of operations is COCO's, so that a box on the very threshold falls on the same side.
    """
    right_bottom = found[:, None, :2] + found[:, None, 2:]
    common = np.minimum(right_bottom, boxes[:, :2] + boxes[:, 2:]) - np.maximum(
        found[:, None, :2], boxes[:, :2]
    )
    area = np.where((common > 0).all(axis=2), common[..., 0] * common[..., 1], 0)
    found_area = (found[:, 2] * found[:, 3])[:, None]
    union = np.where(crowd, found_area, found_area + boxes[:, 2] * boxes[:, 3] - area)
    overlap: NDArray[np.float64] = np.divide(area, union, out=np.zeros_like(area), where=area > 0)
    return overlap
