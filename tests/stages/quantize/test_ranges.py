"""Ranges and grids."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.quantize.ranges import Grid, Range, grid_of

LOWS = st.floats(-1e6, 0, width=32)
HIGHS = st.floats(0, 1e6, width=32)
SHARES = st.floats(0, 1)


@given(low=LOWS, high=HIGHS, share=SHARES, symmetric=st.booleans())
def test_no_value_of_the_range_moves_by_more_than_half_a_step(
    low: float, high: float, share: float, symmetric: bool
) -> None:
    grid = grid_of(Range(low, high), symmetric=symmetric)
    value = np.float32(low + share * (high - low))

    moved = abs(float(grid.round(value)) - float(value))

    # The zero point is an integer, so that one end may lie half a step beyond the grid's.
    assert moved <= grid.scale * (0.51 if symmetric else 1.01)


@given(low=LOWS, high=HIGHS, symmetric=st.booleans())
def test_zero_is_on_every_grid_and_rounding_twice_changes_nothing(
    low: float, high: float, symmetric: bool
) -> None:
    grid = grid_of(Range(low, high), symmetric=symmetric)
    values = np.array([0.0, low, high, 2 * high], np.float32)

    once = grid.round(values)

    assert once[0] == 0
    assert grid.round(once) == pytest.approx(once, rel=1e-5)


@pytest.mark.parametrize(
    ("found", "symmetric", "grid"),
    [
        pytest.param(Range(-2.54, 1.0), True, Grid(0.02), id="the larger side counts"),
        pytest.param(Range(-0.3, 1.27), True, Grid(0.01), id="on the other side"),
        pytest.param(Range(0.0, 2.55), False, Grid(0.01, 0, unsigned=True), id="nothing below zero"),
        pytest.param(Range(-2.55, 0.0), False, Grid(0.01, 255, unsigned=True), id="nothing above zero"),
        pytest.param(Range(-0.3, 2.25), False, Grid(0.01, 30, unsigned=True), id="SiLU"),
        pytest.param(Range(0.0, 0.0), True, Grid(1.0), id="nothing"),
        pytest.param(Range(0.0, 0.0), False, Grid(1.0, unsigned=True), id="nothing, unsigned"),
        pytest.param(Range(0.0, 1e-38), False, Grid(1.0, unsigned=True), id="too little to divide by"),
        pytest.param(Range(1.0, 2.54), True, Grid(0.02), id="it always holds zero"),
    ],
)
def test_the_grid_is_the_finest_that_holds_the_range(found: Range, symmetric: bool, grid: Grid) -> None:
    given_grid = grid_of(found, symmetric=symmetric)

    assert given_grid.scale == pytest.approx(grid.scale)
    assert (given_grid.zero_point, given_grid.unsigned) == (grid.zero_point, grid.unsigned)


def test_rounding_is_to_even_and_what_lies_outside_is_clipped() -> None:
    values = np.array([0.5, 1.5, -1.5, 126.6, 400.0, -400.0], np.float32)

    assert Grid(1.0).round(values).tolist() == [0, 2, -2, 127, 127, -128]
    assert Grid(1.0, 100, unsigned=True).round(values).tolist() == [0, 2, -2, 127, 155, -100]
