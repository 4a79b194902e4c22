"""Statistics: what is known of the values that a tensor takes on the calibration pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

HALF = 2048  # bins on each side of 0, as many as TensorRT's calibrator has (S. Migacz, GTC 2017)
BINS = 2 * HALF
ZERO = 1e-30  # magnitudes below count as 0: FP32 could not divide by their scale


@dataclass(frozen=True, kw_only=True, eq=False)
class Statistics:
    """Values of one tensor on all pictures.

    Zeros are in no bin: every grid is exact for them, so that they have no say in a range.

    Attributes:
        top: A power of two above all magnitudes; the bins cover -top … top. 0: there were only zeros.
        counts: (BINS,), values in each bin; of a large tensor an estimate, from a sample.
        low: The least value, exactly; at most `high`.
        high: The largest value, exactly.
        count: Values that there were, zeros too.
        means: (channels,), mean along axis 1; empty if it is not known, or the tensor has no such axis.
    """

    top: float
    counts: NDArray[np.float64]
    low: float
    high: float
    count: int
    means: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    @property
    def edges(self) -> NDArray[np.float64]:
        """Edges of the bins, (BINS + 1,), rising."""
        edges: NDArray[np.float64] = np.arange(-HALF, HALF + 1) * np.float64(self.top / HALF)
        return edges

    def repeated(self, times: int) -> Statistics:
        """Give the statistics of a tensor that holds each value so many times."""
        return replace(self, counts=self.counts * times, count=self.count * times)


def merge(statistics: Sequence[Statistics]) -> Statistics:
    """Give the statistics of all the values of several tensors; at least one. Without means."""
    top = max(one.top for one in statistics)
    return Statistics(
        top=top,
        counts=np.sum([_widen(one.counts, one.top, top) for one in statistics], axis=0),
        low=min(one.low for one in statistics),
        high=max(one.high for one in statistics),
        count=sum(one.count for one in statistics),
    )


def _widen(counts: NDArray[np.float64], top: float, wanted: float) -> NDArray[np.float64]:
    """Count the same values in bins up to a larger top; both are powers of two, so whole bins add up."""
    if top in {0.0, wanted}:
        return counts
    doublings = round(math.log2(wanted / top))
    if doublings > math.log2(HALF):  # all of it falls into the two bins beside 0
        sums = counts.reshape(2, HALF).sum(axis=1)
    else:
        sums = counts.reshape(-1, 1 << doublings).sum(axis=1)
    beside = np.zeros((BINS - len(sums)) // 2)
    return np.concatenate([beside, sums, beside])


class Collector:
    """Gathers the statistics of one tensor, picture by picture, in constant memory."""

    def __init__(self, sample: int = 1 << 14) -> None:
        """Begin with nothing.

        Args:
            sample: How many values of a tensor and picture are counted, about; range and means take in all.
        """
        self._sample = sample
        self._top = 0.0
        self._counts = np.zeros(BINS)
        self._low, self._high = np.inf, -np.inf
        self._count = 0
        self._pictures = 0
        self._sums: NDArray[np.float64] = np.zeros(0)

    def add(self, values: NDArray[np.float32]) -> bool:
        """Take in a tensor of any shape.

        Returns:
            Whether all values are finite; otherwise nothing is taken in.
        """
        if not values.size:
            return True
        flat = values.reshape(-1)
        low, high = float(flat.min()), float(flat.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            return False
        self._low, self._high = min(self._low, low), max(self._high, high)
        self._count += flat.size
        self._add_means(values)
        self._add_counts(flat, max(-low, high))
        self._pictures += 1
        return True

    def _add_means(self, values: NDArray[np.float32]) -> None:
        means: NDArray[np.float64] = np.zeros(0)
        if values.ndim > 1 and values.shape[0] == 1:
            means = values.reshape(values.shape[1], -1).mean(axis=1).astype(np.float64)
        if not self._pictures:
            self._sums = means
        elif self._sums.shape == means.shape:
            self._sums += means
        else:  # as many channels as things were found: there is no such thing as the mean of one
            self._sums = np.zeros(0)

    def _add_counts(self, flat: NDArray[np.float32], largest: float) -> None:
        if largest <= ZERO:
            return
        if largest >= self._top:
            top = math.ldexp(1.0, math.frexp(largest)[1])  # the next power of two above
            self._counts = _widen(self._counts, self._top, top)
            self._top = top
        # The stride is odd, so that it does not meet the same columns in each row, and begins elsewhere in
        # each picture.
        stride = flat.size // self._sample | 1
        sample = flat[self._pictures % stride :: stride]
        places = sample * np.float32(HALF / self._top)  # exact, a power of two
        np.floor(places, out=places)
        places += np.float32(HALF)
        counts = np.bincount(places.astype(np.intp), minlength=BINS)
        counts[HALF] -= len(sample) - np.count_nonzero(sample)
        self._counts += counts * (flat.size / len(sample))

    def finish(self) -> Statistics | None:
        """Give what was gathered; None if that is nothing."""
        if not self._count:
            return None
        return Statistics(
            top=self._top,
            counts=self._counts,
            low=self._low,
            high=self._high,
            count=self._count,
            means=self._sums / self._pictures,
        )
