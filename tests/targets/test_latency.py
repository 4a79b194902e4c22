"""Latency: percentiles that really occurred, engines in turns."""

import math
import random
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from targets.kit import BoardWork
from targets.latency import describe, independent, interval, noise, percentile, time_in_turns

IMAGES = [np.full((1, 3, 2, 2), shade, np.float32) for shade in (0.0, 0.5, 1.0)]


@pytest.mark.parametrize(
    ("n", "fraction", "rank"),
    [
        (1, 0.99, 0),
        (2, 0.5, 0),
        (10, 0.5, 4),
        (10, 0.9, 8),
        (100, 0.99, 98),
        (200, 0.99, 197),
        (1000, 0.9, 899),
    ],
)
def test_percentile_is_trtexecs(n: int, fraction: float, rank: int) -> None:
    samples = list(range(n))[::-1]

    assert percentile(samples, fraction) == rank


@given(st.lists(st.floats(0.001, 1e6), min_size=1), st.sampled_from([0.5, 0.9, 0.99]))
def test_percentile_is_a_sample_that_that_share_does_not_exceed(
    samples: list[float], fraction: float
) -> None:
    value = percentile(samples, fraction)

    assert value in samples
    assert sum(sample <= value for sample in samples) >= fraction * len(samples) - 1e-6


def test_description_of_equal_samples_has_no_spread() -> None:
    latency = describe([2.0] * 10)

    assert (latency.p50, latency.p90, latency.p99, latency.mean, latency.cov) == (2.0, 2.0, 2.0, 2.0, 0.0)
    assert (latency.n, latency.samples) == (10, (2.0,) * 10)


def _recorder(name: str, log: list[tuple[str, float]], seconds: float = 0.0) -> Callable[..., np.ndarray]:
    def infer(images: np.ndarray) -> np.ndarray:
        log.append((name, float(images[0, 0, 0, 0])))
        time.sleep(seconds)
        return images

    return infer


def _silent(done: float, total: float) -> None:
    pass


def _measure(engines: list[Callable[..., np.ndarray]], *, runs: int) -> list:
    work = BoardWork(runs=runs, seconds=60.0, warmup_runs=1, warmup_s=0.0)
    return [timing.latency for timing in time_in_turns(engines, IMAGES, work, progress=_silent)]


def test_engines_take_turns_on_the_same_pictures_and_nobody_always_goes_first() -> None:
    log: list[tuple[str, float]] = []
    engines = [_recorder("a", log), _recorder("b", log)]

    _measure(engines, runs=4)

    assert log[-16::2] == [
        *[("a", 0.0), ("b", 0.0)],
        *[("b", 0.5), ("a", 0.5)],
        *[("a", 1.0), ("b", 1.0)],
        *[("b", 0.0), ("a", 0.0)],
    ]
    assert log[-15::2] == log[-16::2]


def test_what_it_costs_to_follow_another_engine_is_not_timed() -> None:
    latest = [""]

    def engine(name: str) -> Callable[..., np.ndarray]:
        def infer(images: np.ndarray) -> np.ndarray:
            if latest[0] != name:
                time.sleep(0.005)
            latest[0] = name
            return images

        return infer

    latencies = _measure([engine("a"), engine("b")], runs=10)

    assert all(latency.p50 < 5.0 for latency in latencies)


def test_slower_engine_is_measured_slower() -> None:
    fast, slow = _measure([_recorder("f", []), _recorder("s", [], seconds=0.002)], runs=20)

    assert slow.p50 >= 2.0 > fast.p50
    assert (fast.n, len(slow.samples)) == (20, 20)


def test_warm_up_is_not_timed() -> None:
    log: list[tuple[str, float]] = []

    (latency,) = _measure([_recorder("a", log)], runs=1)

    assert latency.n == 1
    assert len(log) >= 20


def engine(seconds: Callable[[int], float]) -> Callable[[np.ndarray], np.ndarray]:
    """Give an engine whose calls take as long as a function of their number says."""
    calls = [0]

    def infer(images: np.ndarray) -> np.ndarray:
        calls[0] += 1
        end = time.perf_counter() + seconds(calls[0])
        while time.perf_counter() < end:
            pass
        return images

    return infer


def test_engines_in_turns_get_a_timing_each() -> None:
    work = BoardWork(runs=20, seconds=60.0, warmup_runs=1, warmup_s=0.0)
    told: list[tuple[float, float]] = []

    fast, slow = time_in_turns(
        [engine(lambda _: 0.0005), engine(lambda _: 0.002)],
        IMAGES,
        work,
        progress=lambda *done: told.append(done),
    )

    assert (fast.latency.n, slow.latency.n) == (20, 20)
    assert 0.5 <= fast.latency.p50 < 2.0 <= slow.latency.p50
    assert (fast.mode, fast.copies, fast.batch, fast.streams) == ("call", True, 1, 1)
    assert slow.img_s == pytest.approx(1000 / slow.latency.mean)
    assert told[-1] == (40, 40)


def test_the_time_limit_ends_a_measurement_before_its_runs() -> None:
    work = BoardWork(runs=100_000, seconds=0.05, warmup_runs=1, warmup_s=0.0)

    (timing,) = time_in_turns([engine(lambda _: 0.001)], IMAGES, work, progress=lambda *_: None)

    assert 10 <= timing.latency.n <= 60


def test_the_warm_up_lasts_as_long_as_it_is_told() -> None:
    called: list[float] = []

    def infer(images: np.ndarray) -> np.ndarray:
        called.append(time.perf_counter())
        return images

    work = BoardWork(runs=1, seconds=60.0, warmup_runs=50, warmup_s=0.05)
    time_in_turns([infer], IMAGES, work, progress=lambda *_: None)

    assert len(called) > 50
    assert called[-1] - called[0] >= 0.05


def test_calls_that_never_take_a_steady_time_are_told() -> None:
    work = BoardWork(runs=1, seconds=60.0, warmup_runs=10, warmup_s=0.01)

    (timing,) = time_in_turns([engine(lambda call: 0.0002 * call)], IMAGES, work, progress=lambda *_: None)

    assert not timing.steady


def test_interval_of_a_percentile_holds_the_true_one_as_often_as_it_says() -> None:
    chance = random.Random(0)
    draws = [[chance.expovariate(1.0) for _ in range(400)] for _ in range(200)]

    for fraction in (0.5, 0.9, 0.99):
        true = -math.log(1 - fraction)
        inside = [low <= true <= high for low, high in (interval(one, fraction) for one in draws)]
        assert 0.91 <= sum(inside) / len(inside) <= 1.0


def test_interval_of_calls_that_resemble_their_neighbours_is_wider() -> None:
    chance = random.Random(0)
    alone = [chance.random() for _ in range(200)]
    in_runs = [one for one in alone[:40] for _ in range(5)]

    assert independent(alone) == 200
    assert independent(in_runs) < 60
    (low, high), (low_in_runs, high_in_runs) = interval(alone, 0.5), interval(in_runs, 0.5)
    assert high_in_runs - low_in_runs > high - low


@pytest.mark.parametrize(("n", "known"), [(20, False), (200, False), (400, True)])
def test_upper_end_of_a_p99_is_known_from_some_370_calls_on(n: int, known: bool) -> None:
    chance = random.Random(0)
    samples = [chance.random() for _ in range(n)]

    low, high = interval(samples, 0.99)

    assert low <= percentile(samples, 0.99) <= high
    assert math.isfinite(high) == known


def test_interval_of_equal_calls_is_a_point() -> None:
    assert interval([2.0] * 400, 0.5) == (2.0, 2.0)


def test_a_quiet_measurement_can_be_believed() -> None:
    assert noise([10.0, 10.1, 9.9, 10.05, 9.95] * 20) == ""


def test_a_measurement_whose_median_is_not_known_is_noisy() -> None:
    assert "p50" in noise([5.0] * 20 + [10.0] * 25)  # something else began to run in the middle


def test_a_measurement_that_began_before_calls_took_a_steady_time_is_noisy() -> None:
    assert noise([10.0] * 100, steady=False) == "the calls never took a steady time"
