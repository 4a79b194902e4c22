"""Methods: the range that each finds for what was seen."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.quantize.calibration.methods import RangeMethod, find_range
from stages.quantize.calibration.statistics import Collector, Statistics
from stages.quantize.ranges import Range, grid_of

METHODS: tuple[RangeMethod, ...] = ("minmax", "percentile", "entropy", "mse")
RANDOM = np.random.default_rng(0)
NORMAL = RANDOM.normal(size=20_000).astype(np.float32)
SHAPES = {
    "normal": NORMAL,
    "long tails": RANDOM.laplace(size=20_000).astype(np.float32),
    "after SiLU": NORMAL / (1 + np.exp(-3 * NORMAL)),
    "after ReLU": np.maximum(NORMAL, 0),
    "a picture": RANDOM.random(20_000, np.float32),
    "eight bits": RANDOM.integers(0, 256, 20_000).astype(np.float32) / 255,
    "off centre": NORMAL + 3,
    "below zero": -np.abs(NORMAL),
    "an outlier": np.append(NORMAL, np.float32(300)),
    "a low outlier": np.append(NORMAL, np.float32(-40)),
    "small": NORMAL * np.float32(1e-6),
    "large": NORMAL * np.float32(1e6),
}


def seen(values: np.ndarray) -> Statistics:
    collector = Collector(1 << 20)
    assert collector.add(values.astype(np.float32))
    found = collector.finish()
    assert found is not None
    return found


def squared_error(values: np.ndarray, found: Range, *, symmetric: bool) -> float:
    rounded = grid_of(found, symmetric=symmetric).round(values.astype(np.float32))
    return float(((rounded - values) ** 2).mean())


@pytest.mark.parametrize("values", SHAPES.values(), ids=SHAPES)
def test_no_symmetric_range_has_a_smaller_error_than_mse(values: np.ndarray) -> None:
    found = find_range(seen(values), "mse", symmetric=True)

    limits = np.abs(values).max() * np.geomspace(0.005, 1, 300)
    least = min(squared_error(values, Range(-one, one), symmetric=True) for one in limits)
    assert squared_error(values, found, symmetric=True) <= 1.03 * least


@pytest.mark.parametrize("values", SHAPES.values(), ids=SHAPES)
def test_no_asymmetric_range_has_a_smaller_error_than_mse(values: np.ndarray) -> None:
    found = find_range(seen(values), "mse", symmetric=False)

    low, high = min(values.min(), 0), max(values.max(), 0)
    shares = np.geomspace(0.01, 1, 25)
    tried = [Range(low * one, high * other) for one in shares for other in shares]
    least = min(squared_error(values, one, symmetric=False) for one in tried)
    assert squared_error(values, found, symmetric=False) <= 1.03 * least + 1e-12


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("method", METHODS)
@settings(deadline=None, max_examples=30)
@given(values=st.lists(st.floats(-(2.0**60), 2.0**60, width=32), min_size=1, max_size=20))
def test_a_range_holds_zero_and_nothing_that_never_occurred(
    method: RangeMethod, symmetric: bool, values: list[float]
) -> None:
    found = find_range(seen(np.array(values)), method, symmetric=symmetric)

    low, high = min(*values, 0.0), max(*values, 0.0)
    limit = max(-low, high)
    assert (-limit if symmetric else low) <= found.low <= 0 <= found.high <= (limit if symmetric else high)
    assert grid_of(found, symmetric=symmetric).scale > 0
    if limit > 1e-30:
        assert found.high > found.low


def test_minmax_keeps_everything() -> None:
    statistics = seen(SHAPES["a low outlier"])

    assert find_range(statistics, "minmax", symmetric=False) == Range(-40.0, float(NORMAL.max()))
    assert find_range(statistics, "minmax", symmetric=True) == Range(-40.0, 40.0)


def test_percentile_cuts_off_as_many_values_as_it_says() -> None:
    statistics = seen(NORMAL)

    both = find_range(statistics, "percentile", symmetric=False, percentile=90)
    mirrored = find_range(statistics, "percentile", symmetric=True, percentile=90)

    assert (both.low, both.high) == pytest.approx(np.percentile(NORMAL, [5, 95]), abs=0.01)
    assert mirrored.high == pytest.approx(np.percentile(np.abs(NORMAL), 90), abs=0.01)


def test_percentile_of_one_side_leaves_the_other_at_zero() -> None:
    found = find_range(seen(SHAPES["after ReLU"]), "percentile", symmetric=False, percentile=99)

    above = NORMAL[NORMAL > 0]
    assert found.low == 0.0
    assert found.high == pytest.approx(np.percentile(above, 99.5), abs=0.02)


def test_entropy_cuts_off_an_outlier_but_not_the_edge_of_a_picture() -> None:
    values = np.append(RANDOM.normal(size=10**6), 8.0)

    assert 2.5 < find_range(seen(values), "entropy", symmetric=True).high < 6
    assert find_range(seen(SHAPES["a picture"]), "entropy", symmetric=True).high > 0.99


def test_entropy_does_not_cut_down_a_picture_without_black_to_its_darkest_grey() -> None:
    picture = RANDOM.integers(60, 220, 20_000) / 255

    assert find_range(seen(picture), "entropy", symmetric=True).high > 0.8


def test_entropy_agrees_with_the_limit_of_the_definition() -> None:
    """Against TensorRT's pseudocode, written out with loops, but for the last scaling."""
    statistics = seen(RANDOM.laplace(size=500_000))
    half = len(statistics.counts) // 2
    magnitudes = statistics.counts[half:] + statistics.counts[:half][::-1]
    found = find_range(statistics, "entropy", symmetric=True).high

    def divergence(stop: int) -> float:
        true = magnitudes[:stop].copy()
        true[-1] += magnitudes[stop:].sum()
        rounded = np.zeros(stop)
        for level in range(128):
            begin, end = level * stop // 128, (level + 1) * stop // 128
            filled = [one for one in range(begin, end) if magnitudes[one] > 0]
            rounded[filled] = magnitudes[begin:end].sum() / max(len(filled), 1)
        there = true > 0
        return float(true[there] / true.sum() @ np.log(true[there] / rounded[there]))

    stops = [stop for stop in range(256, half, 64) if magnitudes[stop - 1] > 0]
    assert divergence(math.ceil(found * half / statistics.top)) <= min(map(divergence, stops)) + 1e-9


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_a_constant_loses_less_than_a_step(method: RangeMethod, symmetric: bool) -> None:
    constant = np.full(1000, 0.4470588, np.float32)

    found = find_range(seen(constant), method, symmetric=symmetric)

    step = 0.4470588 / 127
    assert squared_error(constant, found, symmetric=symmetric) < step**2


@pytest.mark.parametrize("method", METHODS)
def test_what_is_always_zero_has_an_empty_range(method: RangeMethod) -> None:
    assert find_range(seen(np.zeros(10)), method, symmetric=False) == Range(0.0, 0.0)


def test_two_hundred_tensors_take_well_below_two_seconds() -> None:
    statistics = seen(SHAPES["after SiLU"])
    begin = time.process_time()

    for _ in range(20):
        find_range(statistics, "mse", symmetric=False)

    assert time.process_time() - begin < 0.2
