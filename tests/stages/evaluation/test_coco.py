"""Scores of detections on a data set."""

import numpy as np
import pytest

from benchmarks.statistics_sets import Size, draw_set
from stages.dataset import Dataset, Picture
from stages.evaluation.coco import coco_precisions, score
from stages.evaluation.detect import Detections
from stages.evaluation.matching import match
from stages.evaluation.precision import weighted_precisions
from targets.errors import DataError
from tests.stages.evaluation.scenes import pycocotools_precisions

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


class TestAgainstPycocotools:
    """Both of ours: what evaluation says (C++), and what the bootstrap counts."""

    @staticmethod
    def check(found, data, *, max_det=300, own=True):
        theirs = pycocotools_precisions(found, data, max_det=max_det)

        np.testing.assert_allclose(coco_precisions(found, data, max_det=max_det), theirs, atol=1e-6)
        if own:
            weights = np.ones((len(data.val), 1), np.uint16)
            mine = weighted_precisions(match(found, data.val, classes=len(data.class_names)), weights)[..., 0]
            np.testing.assert_allclose(np.where(np.isnan(mine), -1, mine), theirs, atol=1e-6)
        return theirs

    def test_no_detections(self):
        theirs = self.check(detections([]), dataset(picture((0, 0, 0, 9, 9))))

        assert theirs[0].tolist() == [0] * 10

    def test_a_class_without_boxes(self):
        found = detections([(0, 0, 9, 9, 0.5, 0), (0, 0, 9, 9, 0.9, 1)])

        theirs = self.check(found, dataset(picture((0, 0, 0, 9, 9))))

        assert theirs[:, 0].tolist() == pytest.approx([1, -1, -1])

    def test_a_crowd(self):
        data = dataset(picture((0, 0, 0, 20, 20), (0, 50, 50, 100, 100), (1, 0, 0, 9, 9), crowd=[1, 2]))
        found = detections(
            [
                (60, 60, 70, 70, 0.9, 0),
                (60, 60, 80, 80, 0.85, 0),
                (0, 0, 20, 20, 0.8, 0),
                (0, 0, 9, 9, 0.7, 1),
            ]
        )

        theirs = self.check(found, data)

        assert theirs[:, 0].tolist() == pytest.approx([1, -1, -1])

    def test_more_than_max_det(self):
        boxes = [(0, 10 * place, 0, 10 * place + 9, 9) for place in range(8)]
        found = detections([(*box[1:], 0.9 - 0.1 * place, 0) for place, box in enumerate(boxes)])

        theirs = self.check(found, dataset(picture(*boxes)), max_det=3, own=False)

        assert theirs[0, 0] == pytest.approx(38 / 101)

    def test_equal_scores(self):
        pictures = [picture((0, 0, 0, 20, 20), (1, 0, 0, 20, 20))] * 3
        rows = [
            [(0, 0, 20, 20, 0.5, 0), (40, 40, 60, 60, 0.5, 0), (0, 0, 19, 20, 0.5, 1), (0, 0, 20, 20, 0.5, 1)]
        ]

        self.check(detections(*rows * 3), dataset(*pictures))

    def test_pictures_drawn_at_random(self):
        data, baseline, candidate = draw_set(Size(pictures=60, classes=5, found=30), seed=3)

        for found in (baseline, candidate):
            self.check(found, data)

    @pytest.mark.slow
    def test_5000_pictures_and_80_classes(self):
        data, baseline, _ = draw_set(Size(pictures=5000, classes=80, found=20), seed=4)

        theirs = self.check(baseline, data)

        assert 0.3 < theirs.mean() < 0.7
