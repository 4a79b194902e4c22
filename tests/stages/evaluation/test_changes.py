"""What was lost and gained against another model, box by box, and on which pictures."""

import numpy as np
import pytest
from hypothesis import given, settings

from stages.evaluation.bootstrap import draw
from stages.evaluation.changes import list_changes
from stages.evaluation.scores import ChangedBox
from targets.errors import DataError
from tests.stages.evaluation.scenes import cases, detections, picture

BOX = (0, 0, 8, 8)
ELSEWHERE = (10, 10, 14, 14)


def find_changes(baseline, candidate, pictures, *, worst):
    weights = draw(len(pictures), 50, seed=0)
    return list_changes(baseline, candidate, pictures, weights=weights, conf=0.25, worst=worst)


def test_says_what_was_lost_and_gained_and_on_which_pictures():
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

    changes = find_changes(baseline, candidate, pictures, worst=2)

    assert (changes.kept, changes.lost, changes.gained) == (1, 3, 3)
    assert (changes.missed, changes.false_alarms, changes.pictures) == (3, 3, 3)
    assert changes.score_loss == 0.25
    assert [
        (one.place, one.file, one.lost, one.gained, one.missed, one.false_alarms) for one in changes.worst
    ] == [(3, "both.jpg", 2, 2, 2, 2), (1, "lost.jpg", 1, 0, 1, 0)]


def test_of_the_worst_pictures_every_box_is_told_with_what_became_of_it():
    pictures = [picture([]), picture([(0, *BOX), (1, *ELSEWHERE)])]
    baseline = detections([], [(*BOX, 0.9, 0), (*ELSEWHERE, 0.8, 1), (*ELSEWHERE, 0.2, 1)])
    candidate = detections([], [(*BOX, 0.5, 0), (*ELSEWHERE, 0.4, 0)])

    (change,) = find_changes(baseline, candidate, pictures, worst=9).worst

    assert (change.width, change.height) == (16, 16)
    assert change.boxes == (
        ChangedBox(xyxy=BOX, class_id=0, score=0.9, of="baseline", fate="kept", right=True),
        ChangedBox(xyxy=ELSEWHERE, class_id=1, score=0.8, of="baseline", fate="lost", right=True),
        ChangedBox(xyxy=BOX, class_id=0, score=0.5, of="candidate", fate="kept", right=True),
        ChangedBox(xyxy=ELSEWHERE, class_id=0, score=0.4, of="candidate", fate="gained", right=False),
    )


def test_a_box_that_moved_but_still_fits_its_label_is_not_missed():
    pictures = [picture([(0, 0, 0, 8, 8)])]

    changes = find_changes(
        detections([(0, 0, 8, 5, 0.9, 0)]),
        detections([(0, 3, 8, 8, 0.9, 0)]),
        pictures,
        worst=9,
    )

    assert (changes.kept, changes.lost, changes.gained) == (0, 1, 1)
    assert (changes.missed, changes.false_alarms) == (0, 0)
    assert changes.score_loss is None


def test_a_detection_lost_or_gained_in_a_crowd_is_no_harm():
    pictures = [picture([(0, *BOX)], crowd=[True])] * 2

    changes = find_changes(
        detections([(*BOX, 0.9, 0)], []), detections([], [(*BOX, 0.9, 0)]), pictures, worst=9
    )

    assert (changes.lost, changes.gained, changes.missed, changes.false_alarms) == (1, 1, 0, 0)


@settings(max_examples=50, deadline=None)
@given(cases())
def test_a_model_does_not_differ_from_itself(case):
    found, pictures = case

    changes = find_changes(found, found, pictures, worst=9)

    assert changes.kept == np.count_nonzero(found.boxes[:, 4] >= 0.25)
    assert (changes.lost, changes.gained, changes.missed, changes.false_alarms) == (0, 0, 0, 0)
    assert changes.worst == ()
    assert changes.score_loss in (None, 0)


@settings(max_examples=50, deadline=None)
@given(cases(sides=2))
def test_what_is_kept_and_lost_is_all_the_baseline_gave(case):
    baseline, candidate, pictures = case

    changes = find_changes(baseline, candidate, pictures, worst=99)

    assert changes.kept + changes.lost == np.count_nonzero(baseline.boxes[:, 4] >= 0.25)
    assert changes.kept + changes.gained == np.count_nonzero(candidate.boxes[:, 4] >= 0.25)
    assert sum(one.lost + one.gained for one in changes.worst) == changes.lost + changes.gained
    assert len(changes.worst) == changes.pictures
    fates = [box.fate for one in changes.worst for box in one.boxes]
    assert (fates.count("lost"), fates.count("gained")) == (changes.lost, changes.gained)
    harm = [one.missed + one.false_alarms for one in changes.worst]
    assert harm == sorted(harm, reverse=True)


def test_detections_that_are_not_finite_are_refused():
    with pytest.raises(DataError, match="NaN or infinity"):
        find_changes(detections([(*BOX, 0.9, 0)]), detections([(*BOX, np.nan, 0)]), [picture()], worst=9)
