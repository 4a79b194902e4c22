"""Which ratio of pruning a run goes on with."""

import pytest

from pipeline.frontier import FINE_RATIOS, RATIOS, Point, search_ratio, search_speed
from targets.errors import BudgetError


def point(ratio: float, drift_pt: float) -> Point:
    return Point(
        ratio=ratio,
        gmac=1 - ratio,
        gmac_before=1.0,
        parameters=100,
        drift_pt=drift_pt,
        drift_ci_pt=(drift_pt - 1, drift_pt + 1),
    )


class Trials:
    """Drift grows with the square of the ratio: 0.1 pt at 0.1, 4.9 at 0.7."""

    def __init__(self) -> None:
        self.ratios: list[float] = []

    def __call__(self, ratio: float) -> Point:
        self.ratios.append(ratio)
        return point(ratio, 10 * ratio**2)


def test_a_sweep_tries_all_and_goes_on_with_the_largest_within_the_limit() -> None:
    trials = Trials()

    chosen, points = search_ratio((0.5, 0.2, 0.3), trials, limit_pt=1.0, must=False)

    assert chosen == 0.3
    assert trials.ratios == [0.2, 0.3, 0.5]
    assert [(one.ratio, one.chosen) for one in points] == [(0.2, False), (0.3, True), (0.5, False)]


def test_a_sweep_without_any_within_the_limit_goes_on_with_the_smallest() -> None:
    chosen, points = search_ratio((0.5, 0.4), Trials(), limit_pt=0.1, must=False)

    assert chosen == 0.4
    assert [one.chosen for one in points] == [True, False]


@pytest.mark.parametrize(("limit_pt", "expected"), [(0.11, 0.1), (0.5, 0.2), (2.0, 0.4), (9.0, 0.7)])
def test_a_limit_alone_finds_the_largest_ratio_in_three_trials(limit_pt: float, expected: float) -> None:
    trials = Trials()

    chosen, _ = search_ratio((), trials, limit_pt=limit_pt, must=True)

    assert chosen == expected
    assert len(trials.ratios) <= 3
    assert set(trials.ratios) <= set(RATIOS)


def test_a_limit_that_no_ratio_keeps_is_an_error_that_says_how_near_it_came() -> None:
    with pytest.raises(
        BudgetError, match=r"No ratio is within prune.max_drift_pt: 0.05. The nearest of 3 is 0.1"
    ):
        search_ratio((), Trials(), limit_pt=0.05, must=True)


class Timings:
    """The uncut model takes 10 ms, half the channels half of it."""

    def __init__(self) -> None:
        self.ratios: list[float] = []

    def __call__(self, ratio: float) -> Point:
        self.ratios.append(ratio)
        return Point(ratio=ratio, latency_ms=10 * (1 - ratio), latency_source="measured, here")


@pytest.mark.parametrize(("target_ms", "expected"), [(9.9, 0.05), (7.0, 0.3), (6.9, 0.35), (2.0, 0.8)])
def test_a_latency_finds_the_smallest_ratio_that_is_fast_enough(target_ms: float, expected: float) -> None:
    trials = Timings()

    chosen, points = search_speed(trials, target_ms=target_ms)

    assert chosen == expected
    assert len(trials.ratios) <= 6
    assert set(trials.ratios) <= {0.0, *FINE_RATIOS}
    assert [one.ratio for one in points if one.chosen] == [expected]


def test_a_model_that_is_fast_enough_is_not_cut_at_all() -> None:
    trials = Timings()

    chosen, points = search_speed(trials, target_ms=10.0)

    assert chosen == 0.0
    assert trials.ratios == [0.0]
    assert points[0].chosen


def test_a_latency_that_no_ratio_reaches_is_an_error_that_says_how_near_it_came() -> None:
    with pytest.raises(BudgetError, match=r"0\.8: 2 ms \(measured, here\)"):
        search_speed(Timings(), target_ms=1.0)


def test_a_latency_that_nobody_could_tell_is_never_fast_enough() -> None:
    with pytest.raises(BudgetError):
        search_speed(lambda ratio: Point(ratio=ratio), target_ms=1.0)
