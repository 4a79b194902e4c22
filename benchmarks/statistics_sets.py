"""Sets of the size of COCO's validation set, drawn at random: boxes, and what two models find of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.dataset import Dataset, Picture
from stages.evaluation.detect import Detections

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Boxes = NDArray[np.float64]

WIDTH, HEIGHT = 640, 480
BOXES_A_PICTURE = 7.3  # COCO val2017: 36,335 boxes on 5,000 pictures, crowds aside
CROWDS = 0.012  # COCO val2017: 446 of 36,781
FOUND = 0.85  # share of boxes that a model finds, well or badly


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a set is. The first that counts is COCO's validation set with 100 detections a picture."""

    pictures: int = 5000
    classes: int = 80
    found: int = 100


def draw_set(size: Size, *, seed: int) -> tuple[Dataset, Detections, Detections]:
    """Draw pictures with their boxes, a baseline's detections, and those of a candidate a little worse."""
    rng = np.random.default_rng(seed)
    pictures = [_draw_picture(rng, size) for _ in range(size.pictures)]
    baseline = [_find(rng, picture, size) for picture in pictures]
    candidate = [_worsen(rng, rows) for rows in baseline]
    names = tuple(f"class {number}" for number in range(size.classes))
    return (
        Dataset(class_names=names, train=(), val=tuple(pictures), calibration=()),
        _collect(baseline),
        _collect(candidate),
    )


def _draw_picture(rng: np.random.Generator, size: Size) -> Picture:
    count = rng.poisson(BOXES_A_PICTURE)
    ltrb = _draw_boxes(rng, count)
    scale = (WIDTH, HEIGHT)
    centre, sides = (ltrb[:, :2] + ltrb[:, 2:]) / 2, ltrb[:, 2:] - ltrb[:, :2]
    return Picture(
        file="drawn",
        sha256="",
        width=WIDTH,
        height=HEIGHT,
        boxes=np.column_stack([_draw_classes(rng, count, size), centre / scale, sides / scale]),
        crowd=rng.random(count) < CROWDS,
    )


def _draw_classes(rng: np.random.Generator, count: int, size: Size) -> NDArray[np.int64]:
    """Half of all boxes are of one class in four, as in COCO some are everywhere."""
    few = rng.integers(0, max(1, size.classes // 4), count)
    drawn: NDArray[np.int64] = np.where(rng.random(count) < 0.5, few, rng.integers(0, size.classes, count))
    return drawn


def _draw_boxes(rng: np.random.Generator, count: int) -> Boxes:
    """Give left, top, right, bottom in pixels: sides from 8 px to 300 px, small ones more often."""
    sides = np.exp(rng.uniform(np.log(8), np.log(300), (count, 2)))
    left_top = rng.random((count, 2)) * ((WIDTH, HEIGHT) - sides)
    boxes: Boxes = np.hstack([left_top, left_top + sides])
    return boxes


def _find(rng: np.random.Generator, picture: Picture, size: Size) -> Boxes:
    """Give detections of most boxes, more or less in place, and what is left of `size.found` at random."""
    rows = picture.boxes[rng.random(len(picture.boxes)) < FOUND][: size.found]
    centre, sides = rows[:, 1:3] * (WIDTH, HEIGHT), rows[:, 3:] * (WIDTH, HEIGHT)
    spread = np.exp(rng.normal(np.log(0.04), 0.8, (len(rows), 1)))
    centre = centre + rng.normal(size=centre.shape) * spread * sides
    sides = sides * np.exp(rng.normal(size=sides.shape) * spread)
    right = np.column_stack([centre - sides / 2, centre + sides / 2, rng.beta(3, 2, len(rows)), rows[:, 0]])
    count = size.found - len(rows)
    wrong = np.column_stack(
        [_draw_boxes(rng, count), rng.beta(1, 12, count), rng.integers(0, size.classes, count)]
    )
    return np.vstack([right, wrong])


def _worsen(rng: np.random.Generator, rows: Boxes) -> Boxes:
    """Move the boxes a little, and the scores a little down."""
    worse: Boxes = rows.copy()
    sides = rows[:, 2:4] - rows[:, :2]
    worse[:, :4] += np.hstack([sides, sides]) * rng.normal(0, 0.015, (len(rows), 4))
    logits = np.log(rows[:, 4] / (1 - rows[:, 4])) + rng.normal(-0.05, 0.3, len(rows))
    worse[:, 4] = 1 / (1 + np.exp(-logits))
    return worse


def _collect(rows: list[Boxes]) -> Detections:
    ordered: list[NDArray[Any]] = [one[np.argsort(-one[:, 4], kind="stable")] for one in rows]
    return Detections(
        counts=np.array([len(one) for one in rows], np.int32),
        boxes=np.vstack(ordered).astype(np.float32),
    )
