"""Calibration set: a few training pictures on which every class and every size of box occurs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stages.box_sizes import SIZE_NAMES, sizes_of
from stages.dataset import Picture


def pick_calibration(
    train: Sequence[Picture], classes: int, *, count: int, imgsz: int
) -> tuple[Picture, ...]:
    """Pick pictures one by one, each time the one that adds most of what is still rare among the picked.

    Args:
        train: To pick from; none of it in val.
        classes: Number of classes.
        count: To pick; all if there are fewer.
        imgsz: Side of the model's input, in pixels.

    Returns:
        In the order of `train`; always the same for the same pictures.
    """
    # In the order of their digests, so that equally good pictures come from all over the data set, not
    # from the first of its scenes.
    order = sorted((p.sha256, place) for place, p in enumerate(train))
    places = np.array([place for _, place in order], dtype=np.int64)
    if len(places) > count:
        shows = np.stack([_shows(train[place], classes, imgsz) for place in places])
        places = places[_greedy(shows, count)]
    return tuple(train[place] for place in sorted(places))


def _shows(picture: Picture, classes: int, imgsz: int) -> NDArray[np.float64]:
    """Tell for each class in each size whether it is on the picture; last, whether nothing is."""
    shown = np.zeros(classes * len(SIZE_NAMES) + 1)
    shown[picture.boxes[:, 0].astype(int) * len(SIZE_NAMES) + sizes_of(picture, imgsz)] = 1
    shown[-1] = not len(picture.boxes)
    return shown


def _greedy(shows: NDArray[np.float64], count: int) -> list[int]:
    """Give rows; what n picked rows show already is worth 1 / (1 + n)."""
    picked: list[int] = []
    seen = np.zeros(shows.shape[1])
    free = np.ones(len(shows), dtype=np.bool_)
    for _ in range(count):
        worth = shows @ (1 / (1 + seen))
        best = int(np.argmax(np.where(free, worth.round(9), -1)))  # the last digits differ between machines
        picked.append(best)
        free[best] = False
        seen += shows[best]
    return picked
