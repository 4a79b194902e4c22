"""Sizes of boxes as COCO names them, in the model's input."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stages.dataset import Picture

SIZE_NAMES = ("small", "medium", "large")
SIZE_LIMITS_PX2 = (32**2, 96**2)  # COCO's


def sides_px(picture: Picture, imgsz: int) -> NDArray[np.float64]:
    """Give width and height of each box (N, 2), in pixels of the model's input, a square of side `imgsz`."""
    scale = imgsz / max(picture.width, picture.height)
    sides: NDArray[np.float64] = picture.boxes[:, 3:] * (picture.width * scale, picture.height * scale)
    return sides


def sizes_of(picture: Picture, imgsz: int) -> NDArray[np.int64]:
    """Give the size of each box as its place in `SIZE_NAMES`, (N,)."""
    areas_px2 = sides_px(picture, imgsz).prod(axis=1)
    sizes: NDArray[np.int64] = np.searchsorted(SIZE_LIMITS_PX2, areas_px2, side="right")
    return sizes
