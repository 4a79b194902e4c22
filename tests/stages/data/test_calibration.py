"""Calibration set: small, and yet every class and size is on it."""

from collections.abc import Sequence
from hashlib import sha256

import numpy as np

from stages.data.calibration import pick_calibration
from stages.dataset import Picture


def picture(number: int, boxes: Sequence[tuple[int, float]]) -> Picture:
    """Give a picture of 640 x 640 with square boxes of (class, side as a fraction)."""
    rows = np.array([(kind, 0.5, 0.5, side, side) for kind, side in boxes]).reshape(-1, 5)
    digest = sha256(bytes([number])).hexdigest()
    crowd = np.zeros(len(rows), np.bool_)
    return Picture(file=f"{number:03d}.jpg", sha256=digest, width=640, height=640, boxes=rows, crowd=crowd)


def pick(train: Sequence[Picture], count: int) -> list[str]:
    return [one.file for one in pick_calibration(train, 3, count=count, imgsz=640)]


COMMON = [picture(number, [(0, 0.1)]) for number in range(100)]


def test_all_are_taken_where_there_are_fewer() -> None:
    assert pick(COMMON[:5], 10) == [one.file for one in COMMON[:5]]


def test_rare_classes_sizes_and_backgrounds_are_covered() -> None:
    rare = [
        picture(200, [(1, 0.1)]),
        picture(201, [(2, 0.1), (0, 0.1)]),
        picture(202, [(0, 0.01)]),
        picture(203, [(0, 0.9)]),
        picture(204, []),
    ]

    picked = pick([*COMMON, *rare], 6)

    assert set(picked) >= {one.file for one in rare}


def test_the_order_of_the_pictures_does_not_matter() -> None:
    assert sorted(pick(COMMON, 10)) == sorted(pick(COMMON[::-1], 10))


def test_equal_pictures_come_from_all_over_the_data_set() -> None:
    picked = [int(file[:3]) for file in pick(COMMON, 20)]

    assert picked == sorted(picked)
    assert all(any(start <= number < start + 25 for number in picked) for start in range(0, 100, 25))


def test_a_small_set_is_part_of_a_larger_one() -> None:
    assert set(pick(COMMON, 10)) < set(pick(COMMON, 20))
