"""The best confidence, and how far it moves."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stages.evaluation.bootstrap import draw
from stages.evaluation.f1 import (
    F1_GRID,
    F1_WINDOW,
    ROUNDING,
    compare_f1_thresholds,
    find_f1_threshold,
    weighted_f1_thresholds,
)
from stages.evaluation.matching import match
from tests.stages.evaluation.scenes import CLASSES, cases, detections, picture, repeated


def test_the_best_threshold_lies_between_right_and_wrong_detections():
    found = detections(*[[(0, 0, 8, 8, 0.7, 0), (8, 8, 12, 12, 0.25, 0)]] * 5)
    pictures = [picture([(0, 0, 0, 8, 8)])] * 5

    threshold = find_f1_threshold(match(found, pictures, classes=1))

    assert threshold == 0.301  # a score on the grid still counts there, and half a window further on


def plain_curve(matches):
    """Count at each confidence of the grid anew."""
    curves = []
    for one in (one for one in matches if one.boxes.any()):
        rows = [(one.scores >= conf) & ~one.ignored[0] for conf in F1_GRID]
        curves.append([2 * one.hits[0][row].sum() / max(1, row.sum() + one.boxes.sum()) for row in rows])
    around = np.pad(np.mean(curves, axis=0), F1_WINDOW // 2, mode="edge")
    return np.convolve(around, np.full(F1_WINDOW, 1 / F1_WINDOW), mode="valid")


@settings(max_examples=40, deadline=None)
@given(cases())
def test_the_threshold_is_at_the_top_of_the_smoothed_curve(case):
    matches = match(*case, classes=CLASSES)
    assume(any(one.boxes.any() for one in matches))

    threshold = find_f1_threshold(matches)

    assert threshold == F1_GRID[np.round(plain_curve(matches) / ROUNDING).argmax()]


@settings(max_examples=60, deadline=None)
@given(cases(), st.data())
def test_a_weight_counts_a_picture_as_often_as_if_it_were_there_so_often(case, data):
    found, pictures = case
    times = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(pictures), max_size=len(pictures))))
    assume(sum((~one.crowd).sum() * count for one, count in zip(pictures, times, strict=True)))

    own = weighted_f1_thresholds(match(found, pictures, classes=CLASSES), times[:, None].astype(np.uint16))

    again, drawn = repeated(found, pictures, times)
    assert own.tolist() == [find_f1_threshold(match(again, drawn, classes=CLASSES))]


def test_halved_scores_halve_the_best_threshold_and_the_interval_says_so():
    random = np.random.default_rng(0)
    pictures = [picture([(0, 0, 0, 8, 8)])] * 60
    rows = [
        [(0, 0, 8, 8, random.uniform(0.7, 0.9), 0), (8, 8, 12, 12, random.uniform(0, 0.4), 0)]
        for _ in pictures
    ]
    halved = [[(*row[:4], row[4] / 2, 0) for row in one] for one in rows]
    one, other = (match(detections(*side), pictures, classes=1) for side in (rows, halved))

    shift = compare_f1_thresholds(one, other, draw(60, 200, seed=0))

    assert shift.candidate == pytest.approx(shift.baseline / 2, abs=0.06)
    assert shift.shift == pytest.approx(shift.candidate - shift.baseline)
    assert shift.interval[0] <= shift.shift <= shift.interval[1] < -0.1


def test_few_pictures_tell_nothing():
    matches = match(detections([(0, 0, 8, 8, 0.9, 0)]), [picture([(0, 0, 0, 8, 8)])], classes=1)

    assert compare_f1_thresholds(matches, matches, draw(1, 50, seed=0)).interval == (-1, 1)
