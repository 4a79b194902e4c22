"""What mAP hides: precision and recall as deployed, and scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.evaluation.bootstrap import draw
from stages.evaluation.changes import list_changes
from stages.evaluation.deployed import compare_at, compare_true_scores, wasserstein
from stages.evaluation.matching import match
from tests.stages.evaluation.scenes import CLASSES, detections, picture

BOX = (0, 0, 8, 8)
ELSEWHERE = (10, 10, 14, 14)


def sides(pictures, *found, classes=CLASSES):
    return [match(detections(*one), pictures, classes=classes) for one in found]


class TestCompareAt:
    def test_counts_what_is_above_the_threshold_alone(self):
        pictures = [picture([(0, *BOX), (1, *ELSEWHERE)])] * 12
        good = [[(*BOX, 0.9, 0), (*ELSEWHERE, 0.8, 1)]] * 12
        pressed = [[(*BOX, 0.9, 0), (*ELSEWHERE, 0.2, 1), (*ELSEWHERE, 0.3, 0)]] * 12

        deployed = compare_at(0.25, *sides(pictures, good, pressed), draw(12, 50, seed=0))

        assert (deployed.baseline.precision, deployed.baseline.recall) == (1, 1)
        assert (deployed.candidate.precision, deployed.candidate.recall) == (0.5, 0.5)
        assert deployed.candidate.detections == 24
        assert deployed.recall_loss.loss_pt == deployed.precision_loss.loss_pt == pytest.approx(50)
        assert deployed.recall_loss.interval_pt == pytest.approx((50, 50))

    def test_a_score_on_the_threshold_counts(self):
        pictures = [picture([(0, *BOX)])] * 12
        found = [[(*BOX, 0.25, 0)]] * 12

        deployed = compare_at(0.25, *sides(pictures, found, found), draw(12, 50, seed=0))
        changes = list_changes(
            detections(*found),
            detections(*found),
            pictures,
            weights=draw(12, 50, seed=0),
            conf=0.25,
            worst=9,
        )

        assert deployed.candidate.recall == 1
        assert changes.kept == 12

    def test_a_model_that_finds_nothing_has_no_precision(self):
        pictures = [picture([(0, *BOX)])] * 12

        deployed = compare_at(
            0.25, *sides(pictures, [[(*BOX, 0.9, 0)]] * 12, [[(*BOX, 0.2, 0)]] * 12), draw(12, 50, seed=0)
        )

        assert deployed.candidate.precision is None
        assert deployed.precision_loss is None
        assert deployed.recall_loss.loss_pt == 100

    def test_a_detection_in_a_crowd_does_not_count(self):
        pictures = [picture([(0, *BOX), (0, *ELSEWHERE)], crowd=[False, True])] * 12
        found = [[(*BOX, 0.9, 0), (*ELSEWHERE, 0.8, 0)]] * 12

        deployed = compare_at(0.25, *sides(pictures, found, found), draw(12, 50, seed=0))

        assert deployed.baseline.detections == 12
        assert (deployed.baseline.precision, deployed.baseline.recall) == (1, 1)


class TestTrueScores:
    def test_wrong_detections_have_no_say(self):
        pictures = [picture([(0, *BOX)])] * 2
        good = [[(*BOX, 0.75, 0), (*ELSEWHERE, 0.125, 0)]] * 2
        pressed = [[(*BOX, 0.5, 0), (*ELSEWHERE, 0.625, 0)]] * 2

        scores = compare_true_scores(*sides(pictures, good, pressed))

        assert (scores.baseline, scores.candidate, scores.distance) == (0.75, 0.5, 0.25)

    def test_where_nothing_is_right_there_is_no_distance(self):
        scores = compare_true_scores(*sides([picture([(0, *BOX)])], [[(*BOX, 0.5, 0)]], [[]]))

        assert (scores.baseline, scores.candidate, scores.distance) == (0.5, None, None)

    values = st.lists(st.integers(0, 64).map(lambda whole: whole / 64), min_size=1, max_size=6)

    @given(values, values)
    def test_the_distance_is_the_mean_of_what_sorted_values_differ_by(self, one, other):
        stretched = (
            np.sort(np.repeat(side, np.lcm(len(one), len(other)) // len(side))) for side in (one, other)
        )

        assert wasserstein(np.array(one), np.array(other)) == pytest.approx(
            np.abs(np.subtract(*stretched)).mean()
        )
