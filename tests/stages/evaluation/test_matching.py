"""Matching by COCO's rules, by size of box too, held against pycocotools."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.evaluation import overlap
from stages.evaluation.matching import SIZES_PX2, match, match_at
from stages.evaluation.overlap import Boxes, find_pairs
from stages.evaluation.precision import weighted_precisions
from targets.errors import DataError
from tests.stages.evaluation.scenes import (
    CLASSES,
    cases,
    dataset,
    detections,
    picture,
    pycocotools_precisions,
)


def own_precisions(found, pictures, **settings):
    weights = np.ones((len(pictures), 1), np.uint16)
    return weighted_precisions(match(found, pictures, classes=CLASSES, **settings), weights)[..., 0]


@settings(max_examples=100, deadline=None)
@given(cases(), st.sampled_from([(0, 4), (4, 6), (6, 1e10), (0, 1e10)]))
def test_by_size_it_is_what_pycocotools_says(case, areas_px2):
    found, pictures = case

    own = own_precisions(found, pictures, areas_px2=areas_px2)

    theirs = pycocotools_precisions(found, dataset(pictures), areas_px2=areas_px2)
    np.testing.assert_allclose(np.where(np.isnan(own), -1, own), theirs, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(cases(), st.integers(1, 5))
def test_pairs_are_the_same_however_few_are_looked_at_at_once(case, at_once):
    found, pictures = case
    boxes, truth = Boxes.of_detections(found), Boxes.of_pictures(pictures)
    whole = find_pairs(boxes, truth, at_least=0.5)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlap, "PAIRS_AT_ONCE", at_once)
        parts = find_pairs(boxes, truth, at_least=0.5)

    assert [one.tolist() for one in vars(parts).values()] == [one.tolist() for one in vars(whole).values()]


def test_the_order_of_detections_on_a_picture_changes_nothing():
    pictures = [picture([(0, 0, 0, 8, 8)])]
    found = detections([(0, 0, 8, 8, 0.4, 0), (0, 0, 8, 6, 0.9, 0)])
    turned = type(found)(counts=found.counts, boxes=found.boxes[::-1])

    one, other = (match(side, pictures, classes=1)[0] for side in (found, turned))

    assert one.hits.tolist() == other.hits.tolist()
    assert one.hits[0].tolist() == [True, False]  # the better box came too late


def test_a_size_is_told_in_pixels_of_the_picture():
    side_px = 200
    pictures = [picture([(0, 0, 0, 20, 20), (0, 50, 50, 100, 100), (0, 100, 100, 199, 199)], side_px=side_px)]
    found = detections([(0, 0, 20, 20, 0.9, 0), (50, 50, 100, 100, 0.8, 0)])

    by_size = {
        name: match(found, pictures, classes=1, areas_px2=areas_px2)[0]
        for name, areas_px2 in SIZES_PX2.items()
    }

    assert {name: int(one.boxes.sum()) for name, one in by_size.items()} == {
        "small": 1,
        "medium": 1,
        "large": 1,
    }
    assert {name: int(one.hits[0].sum()) for name, one in by_size.items()} == {
        "small": 1, "medium": 1, "large": 0,
    }  # fmt: skip
    assert by_size["large"].ignored.all()


def test_a_box_is_preferred_to_a_crowd_that_fits_better():
    pictures = [picture([(0, 0, 0, 10, 10), (0, 0, 0, 16, 16)], crowd=[False, True])]

    matches = match(detections([(0, 0, 10, 6, 0.9, 0)]), pictures, classes=1)[0]

    assert matches.hits[:, 0].tolist() == [True] * 3 + [False] * 7  # IoU 0.6
    assert matches.ignored[:, 0].tolist() == [False] * 3 + [True] * 7


def test_of_boxes_that_fit_as_well_the_last_is_taken():
    pictures = [picture([(0, 0, 0, 8, 8), (0, 2, 0, 10, 8)])]

    matches = match(detections([(1, 0, 9, 8, 0.9, 0), (2, 0, 10, 8, 0.8, 0)]), pictures, classes=1)[0]

    assert (
        matches.hits[:, 1].tolist() == [True] * 3 + [False] * 3 + [True] * 4
    )  # the last is taken up to 0.78


def test_boxes_of_two_models_match_whoever_is_surest_first():
    old = Boxes.of_detections(detections([(0, 0, 10, 10, 0.9, 0)]))
    found = detections([(0, 0, 10, 9, 0.8, 0), (0, 0, 10, 10, 0.3, 0), (0, 0, 10, 10, 0.3, 1)])

    taken = match_at(Boxes.of_detections(found), old, found.boxes[:, 4], iou=0.5)

    assert taken.tolist() == [0, -1, -1]


@pytest.mark.parametrize(
    ("found", "what"),
    [
        pytest.param(detections([(0, 0, 4, 4, np.nan, 0)], []), "1 of them have NaN or infinity", id="score"),
        pytest.param(
            detections([(0, np.inf, 4, 4, 0.5, 0)], []), "1 of them have NaN or infinity", id="corner"
        ),
        pytest.param(detections([(0, 0, 4, 4, 0.5, 2)], []), "other classes than the 2", id="class"),
        pytest.param(
            detections([(0, 0, 4, 4, 0.5, -1)], []), "other classes than the 2", id="negative class"
        ),
        pytest.param(detections([(0, 0, 4, 4, 0.5, 0.5)], []), "other classes than the 2", id="half a class"),
        pytest.param(detections([(0, 0, 4, 4, 0.5, 0)]), "of 1 pictures, the data set has 2", id="pictures"),
    ],
)
def test_detections_that_mean_nothing_are_refused(found, what):
    with pytest.raises(DataError, match=what) as caught:
        match(found, [picture([(0, 0, 0, 4, 4)]), picture()], classes=2)

    assert "Evaluate the model again" in caught.value.hint


def test_without_pictures_nothing_is_matched():
    with pytest.raises(DataError, match="of 0 pictures, the data set has 0"):
        match(
            detections([]).__class__(counts=np.zeros(0, np.int32), boxes=np.zeros((0, 6), np.float32)),
            [],
            classes=2,
        )
