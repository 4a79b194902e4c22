"""Scores of detections on a data set."""

import numpy as np
import pytest

from stages.dataset import Dataset, Picture
from stages.evaluation.coco import find_f1_threshold, score
from stages.evaluation.detect import Detections
from stages.evaluation.matching import match
from targets.errors import DataError

NAMES = ("hole", "scratch", "stain")


def picture(*boxes, crowd=()):
    """Give a picture of 100 x 100 pixels with boxes (class, left, top, right, bottom)."""
    rows = np.array(boxes, np.float64).reshape(-1, 5)
    rows[:, 1:] /= 100
    centred = np.column_stack([(rows[:, 1:3] + rows[:, 3:]) / 2, rows[:, 3:] - rows[:, 1:3]])
    flags = np.zeros(len(rows), np.bool_)
    flags[list(crowd)] = True
    boxes = np.column_stack([rows[:, 0], centred])
    return Picture(file="p.jpg", sha256="", width=100, height=100, boxes=boxes, crowd=flags)


def dataset(*pictures):
    return Dataset(class_names=NAMES, train=(), val=pictures, calibration=())


def detections(*pictures):
    """Give detections (left, top, right, bottom, score, class), picture by picture, best first."""
    rows = [np.array(one, np.float32).reshape(-1, 6) for one in pictures]
    return Detections(counts=np.array([len(one) for one in rows], np.int32), boxes=np.concatenate(rows))


def test_perfect_detections_score_one_in_each_class_that_has_boxes():
    data = dataset(picture((0, 10, 10, 50, 50), (2, 60, 60, 90, 90)), picture())

    scores = score(detections([(10, 10, 50, 50, 0.9, 0), (60, 60, 90, 90, 0.8, 2)], []), data, max_det=300)

    assert (scores.map50_95, scores.map50) == pytest.approx((1, 1))
    assert [(one.name, one.boxes) for one in scores.classes] == [("hole", 1), ("stain", 1)]


def test_a_box_that_fits_by_60_percent_counts_at_three_of_ten_thresholds():
    data = dataset(picture((0, 0, 0, 100, 50)))

    scores = score(detections([(0, 0, 61, 50, 0.9, 0)]), data, max_det=300)

    assert scores.map50 == pytest.approx(1)
    assert scores.map50_95 == pytest.approx(0.3)


def test_a_detection_in_a_crowd_is_neither_right_nor_wrong():
    data = dataset(picture((0, 0, 0, 20, 20), (0, 50, 50, 100, 100), crowd=[1]))

    scores = score(detections([(60, 60, 70, 70, 0.9, 0), (0, 0, 20, 20, 0.8, 0)]), data, max_det=300)

    assert scores.map50_95 == pytest.approx(1)
    assert scores.classes[0].boxes == 1


def test_no_detection_at_all_scores_zero_without_a_word(capfd, caplog):
    scores = score(detections([]), dataset(picture((0, 0, 0, 9, 9))), max_det=300)

    assert (scores.map50_95, scores.map50) == (0, 0)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_without_boxes_there_is_nothing_to_measure():
    with pytest.raises(DataError, match="no boxes") as caught:
        score(detections([(0, 0, 9, 9, 0.9, 0)]), dataset(picture()), max_det=300)

    assert "Label some validation pictures" in caught.value.hint


def test_the_best_threshold_lies_between_right_and_wrong_detections():
    found = detections(*[[(0, 0, 20, 20, 0.7, 0), (50, 50, 70, 70, 0.3, 0)]] * 5)
    pictures = [picture((0, 0, 0, 20, 20))] * 5

    threshold = find_f1_threshold(match(found, pictures, classes=1))

    assert 0.3 < threshold < 0.7
