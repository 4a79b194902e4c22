"""Matching: which detections are right, by COCO's rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stages.box_sizes import SIZE_LIMITS_PX2, SIZE_NAMES
from stages.dataset import Picture
from stages.evaluation.detect import Detections, check_detections
from stages.evaluation.overlap import Boxes, Pairs, find_pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Flags = NDArray[np.bool_]
    Range = tuple[float, float]

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
ANY_AREA_PX2 = (0.0, 1e10)  # COCO's
SIZES_PX2 = {
    name: (low, high)
    for name, low, high in zip(
        SIZE_NAMES, (0.0, *SIZE_LIMITS_PX2), (*SIZE_LIMITS_PX2, ANY_AREA_PX2[1]), strict=True
    )
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Matches:
    """What became of the detections of one class, N on P pictures, sorted by falling score.

    Attributes:
        scores: (N,).
        pictures: (N,): which picture each is on.
        hits: (10, N): it matches a box, at each IoU threshold.
        ignored: (10, N): it matches a crowd, or is not of the size asked for: neither right nor wrong.
        boxes: (P,): boxes to be found on each picture, crowds and other sizes aside.
    """

    scores: NDArray[np.float32]
    pictures: NDArray[np.intp]
    hits: Flags
    ignored: Flags
    boxes: NDArray[np.intp]


def match(
    detections: Detections, pictures: Sequence[Picture], *, classes: int, areas_px2: Range = ANY_AREA_PX2
) -> tuple[Matches, ...]:
    """Match detections with boxes, as COCO's evaluation does.

    A detection takes the box of its class that it overlaps most, of those that none with a higher score took;
    a crowd, or a box of another size, only where there is no other.

    Args:
        detections: On `pictures`.
        pictures: With the boxes that are to be found.
        classes: How many there are.
        areas_px2: Smallest and largest area of the boxes asked for, in pixels of the picture.

    Returns:
        Matches by class id.

    Raises:
        DataError: The detections are of other pictures or classes, or not finite.
    """
    check_detections(detections, pictures=len(pictures), classes=classes)
    found, true = Boxes.of_detections(detections), Boxes.of_pictures(pictures)
    by_score = np.argsort(-detections.boxes[:, 4], kind="stable")
    other_size = _outside(true.areas_px2, areas_px2)
    counted = ~(true.crowd | other_size)
    taken = assign(
        find_pairs(found, true, at_least=IOU_THRESHOLDS[0]),
        turns=_count_turns(found, by_score),
        ignore=~counted,
        crowd=true.crowd,
        thresholds=IOU_THRESHOLDS,
    )
    takes = taken >= 0
    hits = takes & np.append(counted, False)[taken]  # the last stands for none, which is -1
    ignored = ~hits & (takes | _outside(found.areas_px2, areas_px2))
    cells = true.class_ids[counted] * len(pictures) + true.places[counted]
    boxes = np.bincount(cells, minlength=classes * len(pictures)).reshape(classes, len(pictures))
    sorted_ids = found.class_ids[by_score]
    rows_of = [by_score[sorted_ids == class_id] for class_id in range(classes)]
    return tuple(
        Matches(
            scores=detections.boxes[rows, 4],
            pictures=found.places[rows],
            hits=hits[:, rows],
            ignored=ignored[:, rows],
            boxes=boxes[class_id],
        )
        for class_id, rows in enumerate(rows_of)
    )


def match_at(found: Boxes, true: Boxes, scores: NDArray[np.float32], *, iou: float) -> NDArray[np.int32]:
    """Match boxes at one threshold, those with the highest score first.

    Returns:
        (N,): the row of `true` that each of `found` takes, -1 for none.
    """
    taken: NDArray[np.int32] = assign(
        find_pairs(found, true, at_least=iou),
        turns=_count_turns(found, np.argsort(-scores, kind="stable")),
        ignore=true.crowd,
        crowd=true.crowd,
        thresholds=np.array([iou]),
    )[0]
    return taken


def assign(
    pairs: Pairs,
    *,
    turns: NDArray[np.intp],
    ignore: Flags,
    crowd: Flags,
    thresholds: NDArray[np.float64],
) -> NDArray[np.int32]:
    """Let detections take boxes, the best first, on all pictures and at all thresholds at once.

    Args:
        pairs: Of N detections and M boxes that overlap.
        turns: (N,): how many detections of its picture and class come before each.
        ignore: (M,): who takes this box is neither right nor wrong.
        crowd: (M,): any number may take this box.
        thresholds: (T,): overlap that is needed.

    Returns:
        (T, N): the box that each takes, -1 for none.
    """
    takes = np.full((len(thresholds), len(turns)), -1, np.int32)
    taken = np.zeros((len(thresholds), len(ignore)), np.bool_)
    levels = np.arange(len(thresholds))[:, None]
    for rows, true, overlaps in _rounds(pairs, turns, ignore):
        fits = (overlaps >= thresholds[:, None, None]) & ~taken[:, true]
        best = fits.shape[2] - 1 - fits[:, :, ::-1].argmax(axis=2)
        chosen = true[np.arange(len(rows)), best]
        there = fits.any(axis=2)
        takes[:, rows] = np.where(there, chosen, -1)
        taken[levels, chosen] |= there & ~crowd[chosen]
    return takes


def _rounds(
    pairs: Pairs, turns: NDArray[np.intp], ignore: Flags
) -> list[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]]:
    """Give, turn by turn, detections (n,) with their boxes and overlaps (n, k), what they prefer at the end.

    Of equal boxes COCO takes the last. In a turn there is one detection of a picture and class at most, so
    that none takes what another one wants.
    """
    order = np.lexsort([pairs.true, pairs.overlaps, ~ignore[pairs.true], pairs.found])
    found, true, overlaps = pairs.found[order], pairs.true[order], pairs.overlaps[order]
    rows, starts, counts = np.unique(found, return_index=True, return_counts=True)
    by_turn = np.argsort(turns[rows], kind="stable")
    rounds = np.split(by_turn, 1 + np.flatnonzero(np.diff(turns[rows[by_turn]])))
    found_rounds = []
    for now in rounds if len(rows) else []:
        columns = np.arange(counts[now].max())
        at = starts[now][:, None] + np.minimum(columns, counts[now][:, None] - 1)
        beyond = columns >= counts[now][:, None]
        found_rounds.append((rows[now], true[at], np.where(beyond, -1, overlaps[at])))
    return found_rounds


def _count_turns(found: Boxes, by_score: NDArray[np.intp]) -> NDArray[np.intp]:
    """Say how many of its picture and class come before each detection, by score."""
    groups = found.places * (1 + found.class_ids.max(initial=0)) + found.class_ids
    order = by_score[np.argsort(groups[by_score], kind="stable")]
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    turns = np.empty(len(order), np.intp)
    turns[order] = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    return turns


def _outside(areas_px2: NDArray[np.float64], limits: Range) -> Flags:
    """Say which areas are none of those asked for; what is on a limit counts on both sides, as in COCO."""
    outside: Flags = (areas_px2 < limits[0]) | (areas_px2 > limits[1])
    return outside
