"""Parity: figures of two tensors, over pictures."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.evaluation.parity import MOST_DB, Meter, PointParity

VALUES = np.random.default_rng(0).normal(size=(1, 4, 8, 8)).astype(np.float32)


def compare(reference: np.ndarray, candidate: np.ndarray) -> PointParity:
    meter = Meter()
    meter.add({"x": reference}, {"x": candidate})
    (found,) = meter.points()
    return found


def test_the_same_values_agree_in_every_way() -> None:
    assert compare(VALUES, VALUES) == PointParity(point="x", cosine=1.0, max_abs=0.0, sqnr_db=MOST_DB)


@given(share=st.floats(1e-3, 1e3))
def test_noise_of_a_tenth_of_the_signal_is_20_db_whatever_the_unit(share: float) -> None:
    scaled = np.float32(share) * VALUES

    found = compare(scaled, scaled * np.float32(1.1))

    assert found.sqnr_db == pytest.approx(20.0, abs=1e-3)
    assert found.cosine == pytest.approx(1.0)
    assert found.max_abs == pytest.approx(0.1 * np.abs(scaled).max(), rel=1e-4)


def test_values_turned_over_have_a_cosine_of_minus_one() -> None:
    assert compare(VALUES, -VALUES).cosine == pytest.approx(-1.0)


@pytest.mark.parametrize("broken", [math.nan, math.inf])
@pytest.mark.parametrize("place", [0, 100])
def test_what_is_not_finite_never_agrees(broken: float, place: int) -> None:
    candidate = VALUES.copy()
    candidate.flat[place] = broken
    meter = Meter()
    for other in (candidate, VALUES):  # a good picture afterwards does not mend it
        meter.add({"x": VALUES}, {"x": other})
    (found,) = meter.points()

    assert math.isnan(found.cosine)
    assert not math.isfinite(found.max_abs)
    assert found.sqnr_db == -MOST_DB


def test_zeros_agree_with_zeros_and_with_nothing_else() -> None:
    zeros = np.zeros_like(VALUES)

    assert compare(zeros, zeros).cosine == 1.0
    assert compare(zeros, VALUES).cosine == 0.0
    assert compare(zeros, VALUES).sqnr_db == -MOST_DB
    assert compare(VALUES, zeros).sqnr_db == 0.0


def test_pictures_add_up_as_if_they_were_one() -> None:
    noisy = VALUES + np.float32(0.01)
    halves = Meter()
    for part in (slice(0, 2), slice(2, 4)):
        halves.add({"x": VALUES[:, part]}, {"x": noisy[:, part]})
    (found,) = halves.points()

    assert found.sqnr_db == pytest.approx(compare(VALUES, noisy).sqnr_db)


def test_only_what_both_have_in_one_shape_is_compared_in_the_candidates_order() -> None:
    meter = Meter()
    meter.add(
        {"a": VALUES, "b": VALUES, "wide": VALUES, "mine": VALUES},
        {"b": VALUES, "wide": VALUES[:, :2], "a": VALUES, "yours": VALUES},
    )

    assert [one.point for one in meter.points()] == ["b", "a"]
