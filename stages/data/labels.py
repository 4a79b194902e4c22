"""Labels: boxes from text or from COCO, with everything that is wrong about them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# How far a box may reach over the picture's edge, in sides of it, before it is an error: tools round to
# the pixel and beyond, and Ultralytics takes coordinates up to 1.01 as well. Such boxes are clipped.
TOLERANCE = 0.01
ROUNDING = 1e-3  # under this, clipping is not worth a word


@dataclass(frozen=True, kw_only=True, eq=False)
class Labels:
    """The boxes of one picture.

    Attributes:
        boxes: (N, 5): class, centre x, centre y, width, height; fractions of the picture but for the class.
        crowd: (N,)
        problems: What is wrong, as `file:line: text`; if there is any, `boxes` lacks some.
        empty: Boxes left out because nothing is in them.
        repeated: Boxes left out because an equal one is there.
        clipped: Boxes that reached over the edge, by more than rounding.
        missing: There is no label file.
    """

    boxes: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    problems: tuple[str, ...] = ()
    empty: int = 0
    repeated: int = 0
    clipped: int = 0
    missing: bool = False


def parse_labels(content: bytes, file: str, classes: int) -> Labels:
    """Read an Ultralytics label file, of boxes (5 columns) or polygons (7, 9, … columns).

    Args:
        content: Of the file.
        file: Its name, for problems.
        classes: Number of classes.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        at = content.count(b"\n", 0, exc.start) + 1
        return collect([], classes, problems=[f"{file}:{at}: not text: {exc.reason}"])
    rows, problems = [], []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        try:
            rows.append((f"{file}:{number}", _row(words)))
        except ValueError as exc:
            problems.append(f"{file}:{number}: {exc}")
    return collect(rows, classes, problems=problems)


def collect(
    rows: Iterable[tuple[str, Sequence[float]]],
    classes: int,
    *,
    crowd: Sequence[bool] = (),
    problems: Sequence[str] = (),
) -> Labels:
    """Check boxes and put them together.

    Args:
        rows: For each box where it stands, and class, centre x, centre y, width, height.
        classes: Number of classes.
        crowd: For each box; empty: none is.
        problems: Of rows that could not even be read.
    """
    faults = list(problems)
    kept: dict[tuple[float, ...], bool] = {}
    empty = repeated = clipped = 0
    for place, (where, row) in enumerate(rows):
        if fault := _fault(row, classes):
            faults.append(f"{where}: {fault}")
            continue
        box, cut = _clip(row)
        if box[3] <= 0 or box[4] <= 0:
            empty += 1
        elif box in kept:
            repeated += 1
        else:
            kept[box] = bool(crowd) and crowd[place]
            clipped += cut > ROUNDING
    return Labels(
        boxes=np.array(list(kept), dtype=np.float64).reshape(-1, 5),
        crowd=np.array(list(kept.values()), dtype=np.bool_),
        problems=tuple(faults),
        empty=empty,
        repeated=repeated,
        clipped=clipped,
    )


def _row(words: Sequence[str]) -> Sequence[float]:
    numbers = [_number(word) for word in words]
    if len(numbers) == 5:
        return numbers
    if len(numbers) < 7 or len(numbers) % 2 == 0:
        raise ValueError(
            f"{len(numbers)} columns; a box has 5 (class, centre x and y, width, height), a polygon 7, 9, …"
        )
    xs, ys = numbers[1::2], numbers[2::2]
    left, right, top, bottom = min(xs), max(xs), min(ys), max(ys)
    return numbers[0], (left + right) / 2, (top + bottom) / 2, right - left, bottom - top


def _number(word: str) -> float:
    """Read a number; unlike float() none that is not finite, nor `1_0`, nor digits of other scripts."""
    if not word.isascii() or "_" in word:
        raise ValueError(f"{word!r} is not a number")
    try:
        number = float(word)
    except ValueError:
        raise ValueError(f"{word!r} is not a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{word!r} is not a finite number")
    return number


def _fault(row: Sequence[float], classes: int) -> str:
    """Say what is wrong with a box, if anything is."""
    number, x, y, width, height = row
    if not all(map(math.isfinite, row)):
        return "a coordinate is not a finite number"
    if number % 1:
        return f"class {number:g} is not a whole number"
    if not 0 <= number < classes:
        return f"class {number:.0f} is out of range; there are {classes} classes, 0 to {classes - 1}"
    if width < 0 or height < 0:
        return f"box of negative size, {width:g} x {height:g}"
    for axis, centre, size in (("x", x, width), ("y", y, height)):
        low, high = centre - size / 2, centre + size / 2
        if low < -TOLERANCE or high > 1 + TOLERANCE:
            return (
                f"box outside the picture, {axis} from {low:g} to {high:g}; fractions, 0 to 1, are expected"
            )
    return ""


def _clip(row: Sequence[float]) -> tuple[tuple[float, ...], float]:
    """Give the part of a box that is inside the picture, and how far the rest reached over the edge."""
    number, x, y, width, height = row
    left, right, top, bottom = x - width / 2, x + width / 2, y - height / 2, y + height / 2
    over = max(-left, -top, right - 1, bottom - 1)
    if over <= 0:
        return tuple(row), over  # as it is: no rounding
    left, right = (min(max(edge, 0.0), 1.0) for edge in (left, right))
    top, bottom = (min(max(edge, 0.0), 1.0) for edge in (top, bottom))
    return (number, (left + right) / 2, (top + bottom) / 2, right - left, bottom - top), over
