"""Statistics: what is gathered of a tensor, picture by picture."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.quantize.calibration.statistics import BINS, HALF, Collector, Statistics, merge

RANDOM = np.random.default_rng(0)
NORMAL = RANDOM.normal(size=50_000).astype(np.float32)

floats = st.floats(-(2.0**60), 2.0**60, width=32).filter(lambda one: one == 0 or abs(one) > 2.0**-60)


def seen(*batches: Sequence[float] | np.ndarray, sample: int = 1 << 20) -> Statistics:
    collector = Collector(sample)
    for batch in batches:
        assert collector.add(np.array(batch, np.float32))
    found = collector.finish()
    assert found is not None
    return found


def same(one: Statistics, other: Statistics) -> bool:
    figures = [(two.top, two.low, two.high, two.count) for two in (one, other)]
    return figures[0] == figures[1] and bool((one.counts == other.counts).all())


def test_each_value_is_in_the_bin_that_its_edges_say() -> None:
    statistics = seen([-1.0, -0.3, 0.2, 0.7, 1.0])

    expected, _ = np.histogram([-1.0, -0.3, 0.2, 0.7, 1.0], statistics.edges)
    assert (statistics.counts == expected).all()
    assert (statistics.top, statistics.low, statistics.high, statistics.count) == (2.0, -1.0, 1.0, 5)


@settings(deadline=None)
@given(st.lists(st.lists(floats, min_size=1, max_size=8), min_size=1, max_size=8))
def test_it_is_as_if_all_values_had_come_at_once_however_they_come(batches: list[list[float]]) -> None:
    assert same(seen(*batches), seen([value for batch in batches for value in batch]))


@settings(deadline=None)
@given(st.lists(floats, min_size=1, max_size=20))
def test_the_bins_reach_just_over_the_largest_magnitude_and_hold_all_but_zeros(values: list[float]) -> None:
    statistics = seen(*([value] for value in values))

    largest = max(map(abs, values))
    assert statistics.top / 2 <= largest < statistics.top or statistics.top == largest == 0
    assert statistics.counts.sum() == np.count_nonzero(values)


@settings(deadline=None)
@given(st.lists(st.lists(floats, min_size=1, max_size=8), min_size=1, max_size=5))
def test_merged_statistics_are_those_of_all_values(tensors: list[list[float]]) -> None:
    merged = merge([seen(tensor) for tensor in tensors])

    assert same(merged, seen([value for tensor in tensors for value in tensor]))


def test_repeated_values_weigh_more_when_merged() -> None:
    merged = merge([seen([1.0, 2.0]).repeated(4), seen([3.0])])

    assert same(merged, seen([1.0, 2.0] * 4 + [3.0]))


def test_a_sample_stands_for_all_values_while_range_and_count_are_exact() -> None:
    values = np.append(NORMAL, np.float32(50))

    whole, sampled = seen(values), seen(values, sample=1000)

    assert sampled.counts.sum() == pytest.approx(whole.counts.sum())
    assert (sampled.low, sampled.high, sampled.count) == (whole.low, whole.high, len(values))


def test_of_a_large_tensor_it_looks_at_all_columns() -> None:
    tensor = np.zeros((1, 64, 256, 256), np.float32)
    tensor[..., 77] = 3.0  # an even stride would never meet it

    statistics = seen(tensor, sample=1 << 16)

    assert statistics.counts.sum() == pytest.approx(tensor.size / 256, rel=0.05)


def test_each_picture_is_sampled_from_another_place() -> None:
    rising = np.arange(1, 1001, dtype=np.float32)

    statistics = seen(*[rising] * 11, sample=100)  # every 11th value

    assert np.count_nonzero(statistics.counts) == 1000


def test_means_are_per_channel() -> None:
    pictures = RANDOM.normal(size=(5, 1, 3, 4, 4)).astype(np.float32)

    statistics = seen(*pictures)

    assert statistics.means == pytest.approx(pictures.mean(axis=(0, 1, 3, 4)), rel=1e-5)


@pytest.mark.parametrize(
    "batches",
    [
        pytest.param([[1.0, 2.0]], id="no channels"),
        pytest.param([np.ones((2, 3, 4))], id="a batch that may be anything"),
        pytest.param([np.ones((1, 2, 4)), np.ones((1, 3, 4))], id="another number each time"),
    ],
)
def test_without_channels_there_are_no_means(batches: list[np.ndarray]) -> None:
    assert seen(*batches).means.shape == (0,)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_told_and_not_taken_in(value: float) -> None:
    collector = Collector()

    assert not collector.add(np.array([1.0, value], np.float32))
    assert collector.finish() is None


@pytest.mark.parametrize("value", [0.0, -0.0, 1e-38, -1e-44])
def test_what_is_always_zero_has_empty_bins(value: float) -> None:
    statistics = seen([value] * 10)

    assert (statistics.top, statistics.counts.sum(), statistics.count) == (0.0, 0, 10)


def test_zeros_are_in_no_bin() -> None:
    assert (seen(NORMAL, np.zeros(10**5)).counts == seen(NORMAL).counts).all()


def test_its_size_does_not_depend_on_how_much_it_has_seen() -> None:
    statistics = seen(*(NORMAL * np.float32(factor) for factor in range(1, 50)))

    assert statistics.counts.shape == (BINS,)
    assert statistics.edges.shape == (2 * HALF + 1,)


def test_an_empty_tensor_says_nothing() -> None:
    collector = Collector()

    assert collector.add(np.zeros((1, 0, 4), np.float32))
    assert collector.finish() is None
