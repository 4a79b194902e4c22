"""Offenders: the worst nodes are found, with few measurements, and only they."""

from collections.abc import Callable, Collection, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.quantize.half.offenders import find_offenders, keep_worst

Search = Callable[..., list[str]]
SEARCHES = pytest.mark.parametrize("search", [keep_worst, find_offenders])


class Model:
    """One whose errors add up, and that counts how often it is measured."""

    def __init__(self, errors: Mapping[str, float]) -> None:
        self.errors = errors
        self.measured = 0

    def measure(self, kept: Collection[str]) -> float:
        self.measured += 1
        return sum(error for node, error in self.errors.items() if node not in kept)


def quiet_but(count: int, **loud: float) -> Model:
    return Model({f"n{number}": loud.get(f"n{number}", 0.001) for number in range(count)})


@SEARCHES
def test_nothing_is_kept_where_nothing_is_off(search: Search) -> None:
    model = quiet_but(200)

    assert search(list(model.errors), model.measure) == []
    assert model.measured == 1


@SEARCHES
def test_one_offender_among_many_is_found(search: Search) -> None:
    model = quiet_but(200, n77=3.0)

    assert search(list(model.errors), model.measure) == ["n77"]


@SEARCHES
def test_the_worst_come_first_and_no_more_than_are_needed(search: Search) -> None:
    model = quiet_but(200, n10=1.0, n60=5.0, n61=2.0, n199=0.3)

    assert search(list(model.errors), model.measure) == ["n60", "n61", "n10"]


def test_parts_save_measurements() -> None:
    model = quiet_but(320, n77=3.0)

    find_offenders(list(model.errors), model.measure)

    assert model.measured <= 1 + 16 + 1 + 20 + 1


@pytest.mark.parametrize("error", [3.0, 30.0, 300.0])
def test_an_error_from_everywhere_is_nobodys_fault(error: float) -> None:
    model = Model({f"n{number}": error / 400 for number in range(400)})

    assert find_offenders(list(model.errors), model.measure) == []
    assert model.measured <= 1 + 16


@SEARCHES
def test_an_endless_error_is_an_error(search: Search) -> None:
    model = quiet_but(40, n7=float("inf"))

    assert search(list(model.errors), model.measure) == ["n7"]


@SEARCHES
def test_there_may_be_no_candidates(search: Search) -> None:
    assert search([], lambda kept: 5.0) == []


@given(
    errors=st.lists(st.sampled_from([0.0, 0.002, 0.3, 0.7, 2.0, 10.0]), min_size=1, max_size=60),
    search=st.sampled_from([keep_worst, find_offenders]),
)
def test_what_is_kept_is_worse_than_what_is_not(errors: list[float], search: Search) -> None:
    model = Model({f"n{number}": error for number, error in enumerate(errors)})

    kept = search(list(model.errors), model.measure)

    assert len(kept) == len(set(kept))
    assert all(model.errors[node] > 0.25 for node in kept)
    if search is keep_worst:
        quiet = sum(error for error in errors if error <= 0.25)
        assert model.measure(kept) <= max(1.0, quiet) + 1e-9
        assert kept == sorted(kept, key=lambda node: -model.errors[node])
