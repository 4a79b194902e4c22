"""Curves of a form: they are what its figures are the means and the tops of."""

import numpy as np
import pytest
from hypothesis import assume, given, settings

from stages.evaluation.curves import find_curves
from stages.evaluation.f1 import find_f1_threshold
from stages.evaluation.matching import match
from stages.evaluation.precision import weighted_precisions
from tests.stages.evaluation.scenes import CLASSES, cases, detections, picture

BOX = (0, 0, 8, 8)
ELSEWHERE = (10, 10, 14, 14)


@settings(max_examples=50, deadline=None)
@given(cases())
def test_the_mean_of_the_precision_curve_is_the_map50(case):
    found, pictures = case
    matches = match(found, pictures, classes=CLASSES)
    assume(any(one.boxes.any() for one in matches))

    curves = find_curves(matches)

    precisions = weighted_precisions(matches, np.ones((len(pictures), 1), np.uint16))[:, 0, 0]
    assert np.mean(curves.precision) == pytest.approx(np.nanmean(precisions), abs=1e-4)
    assert curves.precision == tuple(sorted(curves.precision, reverse=True))


def test_f1_is_told_at_every_hundredth_of_confidence():
    found = [[(*BOX, 0.605, 0), (*ELSEWHERE, 0.305, 0)]] * 4
    matches = match(detections(*found), [picture([(0, *BOX)])] * 4, classes=CLASSES)

    f1 = find_curves(matches).f1

    assert len(f1) == 101
    assert (f1[30], f1[31], f1[60], f1[61]) == (0.6667, 1, 1, 0)
    assert f1[round(100 * find_f1_threshold(matches))] == max(f1)


def test_scores_are_those_of_right_detections_alone():
    found = [[(*BOX, 0.62, 0), (*ELSEWHERE, 0.3, 0)], [(*BOX, 1.0, 0)]]
    matches = match(detections(*found), [picture([(0, *BOX)])] * 2, classes=CLASSES)

    scores = find_curves(matches).scores

    assert {place: share for place, share in enumerate(scores) if share} == {12: 0.5, 19: 0.5}


def test_a_form_that_finds_nothing_has_flat_curves():
    curves = find_curves(match(detections([]), [picture([(0, *BOX)])], classes=CLASSES))

    assert set(curves.precision) == set(curves.f1) == set(curves.scores) == {0}
