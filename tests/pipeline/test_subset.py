"""The search for blocks to leave in float, with drift as a function that one can look into."""

import math
from collections.abc import Callable
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipeline.subset import Choice, Names, find_subset, in_order, pareto

MOST = 15
AMOUNTS = st.floats(0, 1e6, allow_subnormal=False)
CHOICES = st.lists(st.tuples(AMOUNTS, AMOUNTS), min_size=1, max_size=64).map(
    lambda rows: [Choice(name=f"b{n}", noise=noise, saving=saving) for n, (noise, saving) in enumerate(rows)]
)


class Drift:
    """Drift of what is in INT8: any function that does not grow when more is in float."""

    def __init__(self, choices: list[Choice], shape: Callable[[float], float] = lambda noise: noise) -> None:
        self.noise = {one.name: one.noise for one in choices}
        self.shape = shape
        self.asked: list[Names] = []

    def __call__(self, left: Names) -> float:
        self.asked.append(left)
        return self.of(left)

    def of(self, left: Names) -> float:
        return self.shape(math.fsum(noise for name, noise in self.noise.items() if name not in left))


def blocks(*rows: tuple[str, float, float]) -> list[Choice]:
    return [Choice(name=name, noise=noise, saving=saving) for name, noise, saving in rows]


class TestOrder:
    def test_the_noise_that_costs_least_to_avoid_comes_first(self) -> None:
        choices = blocks(("cheap", 1, 1), ("dear", 4, 8), ("loud", 6, 2))

        assert [one.name for one in in_order(choices)] == ["loud", "cheap", "dear"]

    def test_where_int8_saves_nothing_it_is_not_worth_any_noise(self) -> None:
        choices = blocks(("useful", 100, 1), ("useless", 1, 0), ("worse", 2, 0))

        assert [one.name for one in in_order(choices)] == ["worse", "useless", "useful"]


class TestSearch:
    @given(
        choices=CHOICES, share=st.floats(0, 1.2), power=st.sampled_from([0.3, 1, 3]), most=st.integers(2, 20)
    )
    def test_it_ends_within_the_budget_and_within_its_trials(
        self, choices: list[Choice], share: float, power: float, most: int
    ) -> None:
        drift = Drift(choices, lambda noise: noise**power)
        budget = share * drift.of(frozenset())

        found = find_subset(lambda: choices, drift, budget=budget, most=most)

        assert len(drift.asked) <= most
        assert len(set(drift.asked)) == len(drift.asked)
        if found is not None:
            assert drift.of(found) <= budget
            assert found in drift.asked

    @given(choices=CHOICES, share=st.floats(0, 1))
    def test_no_shorter_prefix_is_within_the_budget_and_no_block_can_be_put_back(
        self, choices: list[Choice], share: float
    ) -> None:
        drift = Drift(choices)
        budget = share * drift.of(frozenset())

        found = find_subset(lambda: choices, drift, budget=budget, most=10**6)

        names = [one.name for one in in_order(choices)]
        prefixes = [frozenset(names[:length]) for length in range(len(names))]
        shortest = next((one for one in prefixes if drift.of(one) <= budget), None)
        if shortest is None:
            assert found is None
        else:
            assert found is not None
            assert found <= shortest
            assert all(drift.of(found - {name}) > budget for name in found)

    @given(choices=CHOICES, share=st.floats(0, 1))
    def test_fifteen_trials_are_enough_for_the_shortest_prefix_of_64_blocks(
        self, choices: list[Choice], share: float
    ) -> None:
        drift = Drift(choices)
        budget = share * drift.of(frozenset())

        found = find_subset(lambda: choices, drift, budget=budget, most=MOST)

        unlimited = find_subset(lambda: choices, Drift(choices), budget=budget, most=10**6)
        assert (found is None) == (unlimited is None)
        if found is not None and unlimited is not None:
            cost = {one.name: one.saving for one in choices}
            assert math.fsum(cost[name] for name in found) >= math.fsum(cost[name] for name in unlimited)
            assert len(found) <= next(
                length
                for length in range(len(choices))
                if drift.of(frozenset(one.name for one in in_order(choices)[:length])) <= budget
            )

    def test_where_all_of_it_can_be_int8_one_trial_tells(self) -> None:
        choices = blocks(*((f"b{n}", 1, 1) for n in range(64)))
        drift = Drift(choices)

        assert find_subset(lambda: choices, drift, budget=64, most=MOST) == frozenset()
        assert drift.asked == [frozenset()]

    def test_blocks_are_not_even_asked_for_then(self) -> None:
        def choices() -> list[Choice]:
            raise AssertionError

        assert find_subset(choices, lambda _: 1.0, budget=1, most=MOST) == frozenset()

    def test_the_costliest_is_put_back_first(self) -> None:
        choices = blocks(("a", 4, 2), ("b", 4.5, 3), ("last", 6, 60), ("quiet", 0.5, 100))

        found = find_subset(lambda: choices, Drift(choices), budget=5.5, most=MOST)

        assert found == {"a", "last"}  # all but quiet must go; then a or b can come back, and b is worth more

    def test_what_follows_from_other_trials_is_not_tried(self) -> None:
        choices = blocks(("a", 8, 1), ("b", 4, 1), ("c", 2, 1), ("d", 1, 1))
        drift = Drift(choices)

        assert find_subset(lambda: choices, drift, budget=3, most=MOST) == {"a", "b"}
        assert drift.asked == [frozenset(), {"a", "b"}, {"a"}, {"b"}]  # and not {"a"} again

    def test_the_noise_says_where_to_look_first(self) -> None:
        choices = blocks(*((f"b{n:02}", 1, 1) for n in range(64)))
        drift = Drift(choices)

        find_subset(lambda: choices, drift, budget=60.5, most=MOST)

        assert [len(one) for one in drift.asked[:4]] == [0, 4, 2, 3]

    def test_where_even_one_block_is_too_much_there_is_none(self) -> None:
        choices = blocks(("a", 8, 1), ("b", 4, 1), ("c", 2, 1))
        drift = Drift(choices)

        assert find_subset(lambda: choices, drift, budget=1.9, most=MOST) is None
        assert {"a", "b"} in drift.asked

    def test_a_single_block_is_int8_or_there_is_none(self) -> None:
        choices = blocks(("a", 8, 1))

        assert find_subset(lambda: choices, Drift(choices), budget=8, most=MOST) == frozenset()
        assert find_subset(lambda: choices, Drift(choices), budget=7, most=MOST) is None

    def test_a_drift_that_is_no_number_is_never_within(self) -> None:
        choices = blocks(("a", 8, 1), ("b", 4, 1))

        assert find_subset(lambda: choices, lambda _: math.nan, budget=100, most=MOST) is None


POINTS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=15)


class TestPareto:
    @given(POINTS)
    def test_every_point_off_the_front_is_beaten_by_one_on_it(self, points: list[tuple[int, int]]) -> None:
        front = pareto(points)

        for place, (first, second) in enumerate(points):
            beaten = any(
                points[one][0] <= first and points[one][1] <= second for one in front if one != place
            )
            assert beaten == (place not in front)

    @given(POINTS)
    def test_along_it_one_figure_rises_and_the_other_falls(self, points: list[tuple[int, int]]) -> None:
        front = [points[place] for place in pareto(points)]

        assert all(a[0] < b[0] and a[1] > b[1] for a, b in pairwise(front))

    def test_a_point_that_is_no_number_is_not_on_it(self) -> None:
        assert pareto([(1.0, math.nan), (2.0, 1.0)]) == [1]
