"""Methods: from the statistics of a tensor to the range that its INT8 form keeps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stages.quantize.calibration.statistics import HALF, Statistics
from stages.quantize.ranges import Q_MAX, Range

RangeMethod = Literal["minmax", "percentile", "entropy", "mse"]

PERCENTILE = 99.99  # of the values; onnxruntime.quantization.create_calibrator has 99.999

_LEVELS = 128  # magnitudes of symmetric INT8
_STEPS = 255  # between the ends of UINT8
_COARSE = np.geomspace(1 / 256, 1, 32)  # limits that are tried, as shares of the largest value
_FINE = 16  # limits tried between the two beside the best
_ROUNDS = 2  # of turns between the ends of an asymmetric range
_TRIED = 128  # limits that `entropy` tries

_Errors = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def find_range(
    statistics: Statistics, method: RangeMethod, *, symmetric: bool, percentile: float = PERCENTILE
) -> Range:
    """Find the values to keep.

    Args:
        statistics: Of one tensor, or `merge` of those that share a grid.
        method: `minmax` keeps all; `percentile` cuts off the outermost values; `entropy` keeps most of what
            the distribution tells; `mse` has the least squared error, of rounding and clipping together.
        symmetric: The grid will be symmetric about 0.
        percentile: For that method: how many values are kept, in percent; zeros are not counted.

    Returns:
        A range that holds 0, and nothing that never occurred; if symmetric, a limit and minus that.
    """
    whole = Range(min(statistics.low, 0.0), max(statistics.high, 0.0))
    found = _find(statistics, whole, method, symmetric=symmetric, percentile=percentile)
    if symmetric:
        limit = min(max(-found.low, found.high), max(-whole.low, whole.high))
        return Range(-limit, limit)
    return Range(max(found.low, whole.low), min(found.high, whole.high))


def _find(
    statistics: Statistics, whole: Range, method: RangeMethod, *, symmetric: bool, percentile: float
) -> Range:
    if statistics.top == 0.0:
        return whole
    match method:
        case "minmax":
            return whole
        case "percentile":
            return _percentile(statistics, percentile, symmetric=symmetric)
        case "entropy":
            limit = _entropy_limit(statistics)
            return Range(-limit, limit)
        case "mse":
            return _least_error(statistics, whole, symmetric=symmetric)


def _magnitudes(statistics: Statistics) -> NDArray[np.float64]:
    """Count magnitudes, (HALF,)."""
    counts: NDArray[np.float64] = statistics.counts[HALF:] + statistics.counts[HALF - 1 :: -1]
    return counts


def _percentile(statistics: Statistics, percentile: float, *, symmetric: bool) -> Range:
    """Cut off the largest magnitudes, or as many values at either end."""
    if symmetric:
        limit = _quantile(_magnitudes(statistics), statistics.edges[HALF:], percentile / 100)
        return Range(-limit, limit)
    share = (1 - percentile / 100) / 2
    low, high = (_quantile(statistics.counts, statistics.edges, one) for one in (share, 1 - share))
    return Range(min(low, 0.0), max(high, 0.0))


def _quantile(counts: NDArray[np.float64], edges: NDArray[np.float64], share: float) -> float:
    below = np.concatenate([[0.0], np.cumsum(counts)])
    return float(np.interp(share * below[-1], below, edges))


# ------------------------------------------------------------------------------------------------ entropy
def _entropy_limit(statistics: Statistics) -> float:
    """Give the limit under which the rounded distribution tells most about the true one.

    That with the least Kullback-Leibler divergence (S. Migacz, "8-bit Inference with TensorRT", GTC 2017; so
    does onnxruntime.quantization.calibrate.HistogramCollector.get_entropy_threshold). Only limits just
    above a bin with something in it are tried; at others the divergence is infinite.
    """
    magnitudes = _magnitudes(statistics)
    stops = np.flatnonzero(magnitudes) + 1
    tried = stops[stops > _LEVELS]
    if not len(tried):
        return max(-statistics.low, statistics.high)
    tried = tried[np.linspace(0, len(tried) - 1, min(len(tried), _TRIED)).astype(np.intp)]
    best = min(tried.tolist(), key=lambda stop: _divergence(magnitudes, stop))
    return float(best * statistics.top / HALF)


def _divergence(magnitudes: NDArray[np.float64], stop: int) -> float:
    """Give the divergence of `_LEVELS` levels up to `stop` from the magnitudes, clipped there.

    What is clipped is missing in the levels. To scale them up to the whole, as TensorRT does, would make a
    limit perfect that has but one value below it: on pictures without black, the darkest grey.
    """
    inside = magnitudes[:stop]
    clipped = inside.copy()
    clipped[-1] += magnitudes[stop:].sum()
    starts = np.arange(_LEVELS) * stop // _LEVELS
    there = inside > 0
    # Each level is spread evenly over those of its bins that are not empty.
    filled = np.maximum(np.add.reduceat(there.astype(np.float64), starts), 1)
    shares = np.add.reduceat(inside, starts) / filled
    rounded = np.repeat(shares, np.diff(starts, append=stop))[there]
    true = clipped[there]
    return float(true @ np.log(true / rounded) / true.sum())


# ---------------------------------------------------------------------------------------------------- mse
def _least_error(statistics: Statistics, whole: Range, *, symmetric: bool) -> Range:
    """Find the range with the least squared error; an asymmetric one end by end, in turns."""
    error = _SquaredError(statistics)
    largest = max(-whole.low, whole.high)
    if symmetric:
        limit = _best(largest, error.symmetric)
        return Range(-limit, limit)

    def inside(limits: NDArray[np.float64]) -> NDArray[np.float64]:
        return error(np.maximum(-limits, whole.low), np.minimum(limits, whole.high))

    limit = _best(largest, inside)
    low, high = max(-limit, whole.low), min(limit, whole.high)
    for _ in range(_ROUNDS):
        high = _best(whole.high, partial(error.of_highs, low))
        low = 0.0 - _best(-whole.low, partial(error.of_lows, high))
    return Range(low, high)


def _best(largest: float, errors: _Errors) -> float:
    """Give the limit up to `largest` with the least error."""
    if largest == 0.0:
        return 0.0
    coarse = largest * _COARSE
    found = errors(coarse)
    best = int(np.argmin(found))
    fine = np.geomspace(coarse[max(best - 1, 0)], coarse[min(best + 1, len(coarse) - 1)], _FINE)
    limits, all_found = np.append(coarse, fine), np.append(found, errors(fine))
    return float(limits[int(np.argmin(all_found))])


class _SquaredError:
    """The squared error that a grid makes, summed over all values; those of a bin are spread evenly over it.

    In steps, a value u becomes the integer k(u) = clip(round(u)), and the antiderivative of (u - k(u))² is
    F(u) = (u - k)³ / 3 + k / 12: each step that is passed adds the integral over it, 1 / 12.
    """

    def __init__(self, statistics: Statistics) -> None:
        filled = np.flatnonzero(statistics.counts)
        first, last = int(filled[0]), int(filled[-1]) + 1
        self._edges = statistics.edges[first : last + 1]
        # The sum of counts times differences of F is a sum of F times differences of counts.
        self._weights = -np.diff(statistics.counts[first:last], prepend=0.0, append=0.0)

    def symmetric(self, limits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the error of each grid -limit … limit."""
        return self._sum(limits / Q_MAX, np.full_like(limits, -Q_MAX), np.full_like(limits, Q_MAX))

    def of_highs(self, low: float, highs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the error of each grid low … high."""
        return self(np.full_like(highs, low), highs)

    def of_lows(self, high: float, lows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the error of each grid -low … high."""
        return self(-lows, np.full_like(lows, high))

    def __call__(self, lows: NDArray[np.float64], highs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the error of the grid for each range; none may be empty."""
        scales = (highs - lows) / _STEPS
        zero_points = np.rint(-lows / scales)
        return self._sum(scales, -zero_points, _STEPS - zero_points)

    def _sum(
        self, scales: NDArray[np.float64], first: NDArray[np.float64], last: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        steps = self._edges / scales[:, None]
        integers = np.clip(np.rint(steps), first[:, None], last[:, None])
        steps -= integers
        antiderivative = steps * steps * steps / 3 + integers / 12
        errors: NDArray[np.float64] = (antiderivative @ self._weights) * scales**3
        return errors
