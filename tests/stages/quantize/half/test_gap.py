"""Gap: how far detections move, judged by those that matter."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.quantize.half.gap import Gap, Judge, best_score, summarize
from targets.errors import ModelError
from targets.model import InputSpec, ModelSpec

RAW = ModelSpec(family="toy", class_names=("bolt", "nut"), input=InputSpec(64, 64))
END2END = replace(RAW, output="end2end")


def raw(*anchors: tuple[float, ...]) -> np.ndarray:
    """Give an output from (x, y, w, h, score, score) of each anchor."""
    return np.array(anchors, np.float32).T[None]


def rows(*detections: tuple[float, ...]) -> np.ndarray:
    return np.array(detections, np.float32)[None]


def gap(reference: np.ndarray, output: np.ndarray, spec: ModelSpec = RAW, *, slack: float = 0.01) -> Gap:
    return summarize([Judge(spec, floor=0.25, slack=slack).compare(reference, output)])


class TestRaw:
    def test_the_coordinate_and_the_score_that_move_most_count(self) -> None:
        found = gap(raw((10, 20, 5, 5, 0.1, 0.9)), raw((10.25, 19, 5, 5.5, 0.1, 0.875)))

        assert found == Gap(boxes_px=1.0, scores=pytest.approx(0.025), detections=1)

    def test_boxes_around_nothing_do_not_count(self) -> None:
        reference = raw((10, 20, 5, 5, 0.1, 0.9), (0, 0, 9, 9, 0.01, 0.2))

        assert gap(reference, raw((10, 20, 5, 5, 0.1, 0.9), (50, 50, 1, 1, 0.2, 0.01))) == Gap(0, 0, 1)

    def test_one_of_twenty_may_move_further(self) -> None:
        reference = raw(*[(10, 10, 5, 5, 0.9, 0.0)] * 40)
        moved = reference.copy()
        moved[0, 0, :2] += 30

        assert gap(reference, moved).boxes_px == 0
        moved[0, 0, 2] += 30
        assert gap(reference, moved).boxes_px == 30

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_what_is_not_finite_is_endlessly_far(self, value: float) -> None:
        found = gap(raw((10, 20, 5, 5, 0.9, 0.1)), raw((value, 20, 5, 5, value, 0.1)))

        assert (found.boxes_px, found.scores) == (np.inf, np.inf)


class TestEndToEnd:
    def test_rows_may_change_places(self) -> None:
        reference = rows((0, 0, 9, 9, 0.9, 0), (20, 20, 30, 30, 0.895, 1), (1, 1, 2, 2, 0.01, 0))

        assert gap(reference, reference[:, [1, 0, 2]], END2END) == Gap(0, 0, 2)

    def test_a_row_is_compared_with_its_class(self) -> None:
        reference = rows((0, 0, 9, 9, 0.9, 0), (1, 1, 2, 2, 0.01, 0))
        output = rows((0, 0, 9, 9, 0.9, 1), (0.5, 0, 9, 9, 0.8, 0))

        assert gap(reference, output, END2END) == Gap(0.5, pytest.approx(0.1), 1)

    def test_what_might_have_dropped_off_the_end_does_not_count(self) -> None:
        reference = rows((0, 0, 9, 9, 0.9, 0), (1, 1, 2, 2, 0.415, 0), (5, 5, 6, 6, 0.4, 0))

        assert gap(reference, reference, END2END, slack=0.01).detections == 1
        assert gap(reference, reference, END2END, slack=0.005).detections == 2

    def test_a_class_that_is_gone_is_far_away(self) -> None:
        reference = rows((0, 0, 9, 9, 0.9, 0), (1, 1, 2, 2, 0.01, 0))

        assert gap(reference, rows((0, 0, 9, 9, 0.9, 1)), END2END).boxes_px > 1000


def test_without_detections_there_is_no_gap() -> None:
    assert gap(raw((0, 0, 9, 9, 0.1, 0.1)), raw((5, 5, 9, 9, 0.1, 0.1))) == Gap()
    assert summarize([]) == Gap()


def test_the_best_score_is_that_of_any_class() -> None:
    assert best_score(raw((0, 0, 9, 9, 0.1, 0.7)), RAW) == pytest.approx(0.7)
    assert best_score(rows((0, 0, 9, 9, 0.6, 1)), END2END) == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("output", "spec"),
    [
        (np.zeros((1, 5, 9)), RAW),
        (np.zeros((2, 6, 9)), RAW),
        (np.zeros((1, 9, 5)), END2END),
        (np.zeros(6), RAW),
    ],
)
def test_another_output_than_the_description_says_is_refused(output: np.ndarray, spec: ModelSpec) -> None:
    with pytest.raises(ModelError, match="which is not the"):
        best_score(output, spec)
    with pytest.raises(ModelError, match="which is not the"):
        gap(output, output, spec)


@given(shift=st.floats(-50, 50, width=32), count=st.integers(1, 60), order=st.randoms())
def test_an_even_shift_is_found_whatever_the_order(shift: float, count: int, order: Random) -> None:
    random = np.random.default_rng(count)
    boxes = np.arange(count)[:, None] * 200 + random.random((count, 4)) * 9
    scores = np.linspace(0.9, 0.4, count)[:, None]
    reference = np.concatenate([boxes, scores, np.zeros((count, 1))], axis=1)
    reference = np.concatenate([reference, [[0, 0, 1, 1, 0.001, 1]]]).astype(np.float32)[None]
    moved = reference.copy()
    moved[..., :4] += np.float32(shift)
    places = list(range(count + 1))
    order.shuffle(places)

    found = gap(reference, moved[:, places], END2END)

    assert found.boxes_px == pytest.approx(abs(shift), abs=1e-2)
    assert found.detections == count
