"""Ranges and grids: which values of a tensor count, and the 256 that they are rounded to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Q_MAX = 127  # symmetric INT8 uses -127 … 127
_ZERO = 1e-30  # ranges below are none: FP32 could not divide by their scale


@dataclass(frozen=True)
class Range:
    """The values of a tensor that are kept apart; what lies outside is clipped. It holds 0.

    Attributes:
        low: At most 0.
        high: At least 0.
    """

    low: float
    high: float


@dataclass(frozen=True)
class Grid:
    """How a tensor is rounded: value = (integer - zero_point) * scale.

    Attributes:
        scale: Above 0.
        zero_point: The integer that stands for 0.
        unsigned: UINT8, 0 … 255; otherwise INT8, -128 … 127, with zero point 0.
    """

    scale: float
    zero_point: int = 0
    unsigned: bool = False

    def round(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give the nearest values on the grid, as QuantizeLinear and DequantizeLinear do."""
        low, high = (0, 255) if self.unsigned else (-128, 127)
        scale = np.float32(self.scale)
        integers = np.clip(np.rint(values / scale) + self.zero_point, low, high)
        rounded: NDArray[np.float32] = ((integers - self.zero_point) * scale).astype(np.float32)
        return rounded


def grid_of(found: Range, *, symmetric: bool) -> Grid:
    """Give the finest grid that holds a range; symmetric about 0 where the target takes nothing else."""
    low, high = min(found.low, 0.0), max(found.high, 0.0)
    if symmetric:
        largest = max(-low, high)
        return Grid(scale=largest / Q_MAX if largest > _ZERO else 1.0)
    if high - low <= _ZERO:
        return Grid(scale=1.0, unsigned=True)
    scale = (high - low) / 255
    return Grid(scale=scale, zero_point=round(-low / scale), unsigned=True)
