"""Parity: how near the tensors of one form of a model are to those of another, over pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

MOST_DB = 200.0  # what is exact has no noise, and decibels of nothing are no number

Tensors = Mapping[str, NDArray[np.float32]]
"""Values by point, of one picture."""


@dataclass(frozen=True, kw_only=True)
class PointParity:
    """One tensor in two forms of a model.

    Attributes:
        point: The tensor's name in the ONNX graph; `boxes` or `scores` of what the model answers.
        cosine: Of the angle between both, 1 where they agree; NaN where one is not finite.
        max_abs: Largest difference of two values, in the tensor's own unit.
        sqnr_db: Signal to noise, 10 log10(sum of x² / sum of (x - x')²), in decibels, -200 to 200.
    """

    point: str
    cosine: float
    max_abs: float
    sqnr_db: float


@dataclass
class _Sums:
    dot: float = 0.0
    reference: float = 0.0
    candidate: float = 0.0
    noise: float = 0.0
    max_abs: float = 0.0


@dataclass
class Meter:
    """Adds up, picture by picture, what the figures of each point are made of."""

    _sums: dict[str, _Sums] = field(default_factory=dict)

    def add(self, reference: Tensors, candidate: Tensors) -> None:
        """Take in one picture: the points that both have, in the same shape, in the candidate's order."""
        for point, found in candidate.items():
            wanted = reference.get(point)
            if wanted is not None and wanted.shape == found.shape:
                _add(self._sums.setdefault(point, _Sums()), wanted, found)

    def points(self) -> tuple[PointParity, ...]:
        """Give the figures of all pictures so far."""
        return tuple(_figures(point, sums) for point, sums in self._sums.items())


def _add(sums: _Sums, reference: NDArray[np.float32], candidate: NDArray[np.float32]) -> None:
    # In double: the squares of 10⁶ values in single are off by more than what is looked for. Infinity less
    # infinity is NaN, which is the answer.
    one, other = reference.ravel().astype(np.float64), candidate.ravel().astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        gap = one - other
        sums.dot += float(one @ other)
        sums.reference += float(one @ one)
        sums.candidate += float(other @ other)
        sums.noise += float(gap @ gap)
        sums.max_abs = float(np.maximum(sums.max_abs, np.abs(gap).max(initial=0.0)))  # max() may lose a NaN


def _figures(point: str, sums: _Sums) -> PointParity:
    return PointParity(
        point=point, cosine=_cosine(sums), max_abs=sums.max_abs, sqnr_db=_decibels(sums.reference, sums.noise)
    )


def _cosine(sums: _Sums) -> float:
    if not math.isfinite(sums.noise):
        return math.nan
    length = math.sqrt(sums.reference) * math.sqrt(sums.candidate)
    if length == 0:  # two vectors of zeros agree; one of zeros agrees with no other
        return 1.0 if sums.noise == 0 else 0.0
    return min(max(sums.dot / length, -1.0), 1.0)


def _decibels(signal: float, noise: float) -> float:
    if not math.isfinite(noise):
        return -MOST_DB
    if noise == 0:
        return MOST_DB
    return min(max(10 * math.log10(signal / noise), -MOST_DB), MOST_DB) if signal > 0 else -MOST_DB
