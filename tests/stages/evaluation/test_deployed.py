"""What mAP hides: precision and recall as deployed, scores, and what was lost and gained."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.evaluation.bootstrap import draw
from stages.evaluation.deployed import compare_at, compare_true_scores, list_changes, wasserstein
from stages.evaluation.matching import match
from stages.evaluation.scores import PictureChange
from targets.errors import DataError
from tests.stages.evaluation.scenes import CLASSES, cases, detections, picture

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
        changes = list_changes(detections(*found), detections(*found), pictures, conf=0.25, worst=9)

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


class TestListChanges:
    def test_says_what_was_lost_and_gained_and_on_which_pictures(self):
        pictures = [
            picture([(0, *BOX)], file="same.jpg"),
            picture([(0, *BOX)], file="lost.jpg"),
            picture([], file="alarm.jpg"),
            picture([(0, *BOX), (1, *ELSEWHERE)], file="both.jpg"),
        ]
        baseline = detections([(*BOX, 0.75, 0)], [(*BOX, 0.9, 0)], [], [(*BOX, 0.9, 0), (*ELSEWHERE, 0.9, 1)])
        candidate = detections(
            [(*BOX, 0.5, 0)], [(*BOX, 0.2, 0)], [(*BOX, 0.4, 0)], [(*BOX, 0.9, 1), (*ELSEWHERE, 0.4, 0)]
        )

        changes = list_changes(baseline, candidate, pictures, conf=0.25, worst=2)

        assert (changes.kept, changes.lost, changes.gained) == (1, 3, 3)
        assert (changes.missed, changes.false_alarms, changes.pictures) == (3, 3, 3)
        assert changes.score_loss == 0.25
        assert changes.worst == (
            PictureChange(place=3, file="both.jpg", lost=2, gained=2, missed=2, false_alarms=2),
            PictureChange(place=1, file="lost.jpg", lost=1, gained=0, missed=1, false_alarms=0),
        )

    def test_a_box_that_moved_but_still_fits_its_label_is_not_missed(self):
        pictures = [picture([(0, 0, 0, 8, 8)])]

        changes = list_changes(
            detections([(0, 0, 8, 5, 0.9, 0)]),
            detections([(0, 3, 8, 8, 0.9, 0)]),
            pictures,
            conf=0.25,
            worst=9,
        )

        assert (changes.kept, changes.lost, changes.gained) == (0, 1, 1)
        assert (changes.missed, changes.false_alarms) == (0, 0)
        assert changes.score_loss is None

    def test_a_detection_lost_or_gained_in_a_crowd_is_no_harm(self):
        pictures = [picture([(0, *BOX)], crowd=[True])] * 2

        changes = list_changes(
            detections([(*BOX, 0.9, 0)], []), detections([], [(*BOX, 0.9, 0)]), pictures, conf=0.25, worst=9
        )

        assert (changes.lost, changes.gained, changes.missed, changes.false_alarms) == (1, 1, 0, 0)

    @settings(max_examples=50, deadline=None)
    @given(cases())
    def test_a_model_does_not_differ_from_itself(self, case):
        found, pictures = case

        changes = list_changes(found, found, pictures, conf=0.25, worst=9)

        assert changes.kept == np.count_nonzero(found.boxes[:, 4] >= 0.25)
        assert (changes.lost, changes.gained, changes.missed, changes.false_alarms, changes.worst) == (
            0,
            0,
            0,
            0,
            (),
        )
        assert changes.score_loss in (None, 0)

    @settings(max_examples=50, deadline=None)
    @given(cases(sides=2))
    def test_what_is_kept_and_lost_is_all_the_baseline_gave(self, case):
        baseline, candidate, pictures = case

        changes = list_changes(baseline, candidate, pictures, conf=0.25, worst=99)

        assert changes.kept + changes.lost == np.count_nonzero(baseline.boxes[:, 4] >= 0.25)
        assert changes.kept + changes.gained == np.count_nonzero(candidate.boxes[:, 4] >= 0.25)
        assert sum(one.lost + one.gained for one in changes.worst) == changes.lost + changes.gained
        assert len(changes.worst) == changes.pictures
        harm = [one.missed + one.false_alarms for one in changes.worst]
        assert harm == sorted(harm, reverse=True)

    def test_detections_that_are_not_finite_are_refused(self):
        with pytest.raises(DataError, match="NaN or infinity"):
            list_changes(
                detections([(*BOX, 0.9, 0)]), detections([(*BOX, np.nan, 0)]), [picture()], conf=0.25, worst=9
            )
