"""How many pictures it takes."""

import math
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.evaluation.power import pictures_needed


@given(st.floats(0.01, 5), st.floats(0.01, 5), st.integers(10, 5000), st.floats(0.1, 0.99))
def test_with_so_many_pictures_the_limit_is_clear_of_the_interval_as_often_as_asked(
    gap, spread, pictures, power
):
    needed = pictures_needed(gap_pt=gap, spread_pt=spread, pictures=pictures, power=power)

    spread_then = spread * math.sqrt(pictures / needed)
    reach = NormalDist().inv_cdf(0.975) * spread_then
    assert 1 - NormalDist(gap, spread_then).cdf(reach) == pytest.approx(power)


def test_an_interval_that_just_reaches_the_limit_tells_every_other_time():
    even = pictures_needed(gap_pt=1.96, spread_pt=1, pictures=100, power=0.5)

    assert even == pytest.approx(100, rel=1e-3)
    assert pictures_needed(gap_pt=1.96, spread_pt=1, pictures=100) == pytest.approx(2.04 * even, rel=1e-2)


def test_on_the_limit_no_number_tells():
    assert pictures_needed(gap_pt=0, spread_pt=1, pictures=100) == math.inf


def test_on_which_side_the_limit_is_does_not_matter():
    assert pictures_needed(gap_pt=-0.5, spread_pt=1, pictures=9) == pictures_needed(
        gap_pt=0.5, spread_pt=1, pictures=9
    )


@pytest.mark.parametrize("figures", [(math.nan, 1.0), (1.0, math.nan)])
def test_what_was_not_measured_stays_unknown(figures):
    gap_pt, spread_pt = figures

    assert math.isnan(pictures_needed(gap_pt=gap_pt, spread_pt=spread_pt, pictures=100))
