"""The paired bootstrap, and the matching under it, held against faster-coco-eval."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stages.dataset import Dataset, Picture
from stages.evaluation.bootstrap import ANYTHING_PT, bootstrap, weighted_precisions
from stages.evaluation.coco import coco_precisions
from stages.evaluation.detect import Detections
from stages.evaluation.matching import match

SIDE_PX = (
    16  # a power of two: boxes on whole pixels stay exact as fractions, so overlaps hit thresholds exactly
)
CLASSES = 2


def picture(boxes=(), crowd=None):
    """Give a picture with boxes (class, left, top, right, bottom) in pixels."""
    rows = np.array(boxes, np.float64).reshape(-1, 5)
    centred = np.column_stack([(rows[:, 1:3] + rows[:, 3:]) / 2, rows[:, 3:] - rows[:, 1:3]]) / SIDE_PX
    return Picture(
        file="p.jpg",
        sha256="",
        width=SIDE_PX,
        height=SIDE_PX,
        boxes=np.column_stack([rows[:, 0], centred]),
        crowd=np.zeros(len(rows), np.bool_) if crowd is None else np.array(crowd, np.bool_),
    )


def detections(*pictures):
    """Give detections (left, top, right, bottom, score, class), picture by picture."""
    rows = [np.array(one, np.float32).reshape(-1, 6) for one in pictures]
    rows = [one[np.argsort(-one[:, 4], kind="stable")] for one in rows]
    return Detections(counts=np.array([len(one) for one in rows], np.int32), boxes=np.concatenate(rows))


def dataset(pictures):
    return Dataset(class_names=("hole", "scratch"), train=(), val=tuple(pictures), calibration=())


def own_precisions(found, pictures):
    weights = np.ones((len(pictures), 1), np.uint16)
    return weighted_precisions(match(found, pictures, classes=CLASSES), weights)[..., 0]


def repeated(found, pictures, times):
    """Give the data set in which picture i occurs times[i] times."""
    ends = np.cumsum(found.counts)
    order = np.repeat(np.arange(len(pictures)), times)
    rows = [found.boxes[ends[i] - found.counts[i] : ends[i]] for i in order]
    return detections(*rows), [pictures[i] for i in order]


corners = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(1, 4), st.integers(1, 4)).map(
    lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])
)
class_ids = st.integers(0, CLASSES - 1)
truths = st.lists(st.tuples(class_ids, corners).map(lambda row: (row[0], *row[1])), max_size=4)
finds = st.lists(
    st.tuples(corners, st.integers(1, 16), class_ids).map(lambda row: (*row[0], row[1] / 16, row[2])),
    max_size=6,
)


@st.composite
def cases(draw):
    boxes = draw(st.lists(truths, min_size=1, max_size=4))
    crowds = [draw(st.lists(st.booleans(), min_size=len(one), max_size=len(one))) for one in boxes]
    pictures = [picture(one, crowd) for one, crowd in zip(boxes, crowds, strict=True)]
    return detections(*[draw(finds) for _ in pictures]), pictures


@settings(max_examples=100, deadline=None)
@given(cases())
def test_without_weights_it_is_what_faster_coco_eval_says(case):
    found, pictures = case

    own = own_precisions(found, pictures)

    theirs = coco_precisions(found, dataset(pictures), max_det=300)
    np.testing.assert_allclose(np.where(np.isnan(own), -1, own), theirs, atol=1e-9)


@settings(max_examples=100, deadline=None)
@given(cases(), st.data())
def test_a_weight_counts_a_picture_as_often_as_if_it_were_there_so_often(case, data):
    found, pictures = case
    times = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(pictures), max_size=len(pictures))))
    assume(times.any())
    found.boxes[:, 4] -= 1e-3 * np.arange(len(found.boxes))  # all differ: of equal ones either may come first

    own = weighted_precisions(match(found, pictures, classes=CLASSES), times[:, None].astype(np.uint16))

    theirs = own_precisions(*repeated(found, pictures, times))
    np.testing.assert_allclose(own[..., 0], theirs, atol=1e-9)


def test_equal_detections_have_no_loss_at_all():
    pictures = [picture([(0, 1, 1, 9, 9)]), picture([(1, 2, 2, 6, 6)])] * 10
    matches = match(detections(*[[(1, 1, 9, 8, 0.9, 0)]] * 20), pictures, classes=CLASSES)

    losses = bootstrap(matches, matches, resamples=50, seed=0)

    assert losses.map50_95.loss_pt == 0
    assert losses.map50_95.interval_pt == (0, 0)


def test_a_class_without_boxes_is_left_out_of_the_mean():
    pictures = [picture([(0, 1, 1, 9, 9)])] * 20
    perfect = match(detections(*[[(1, 1, 9, 9, 0.9, 0)]] * 20), pictures, classes=CLASSES)
    blind = match(detections(*[[]] * 20), pictures, classes=CLASSES)

    losses = bootstrap(perfect, blind, resamples=50, seed=0)

    assert losses.map50_95.loss_pt == pytest.approx(100)
    assert losses.ap50[0].interval_pt == pytest.approx((100, 100))
    assert losses.ap50[1] is None


def test_the_interval_holds_the_loss_and_narrows_with_more_pictures():
    def width(pictures):
        rng = np.random.default_rng(0)
        truth = [picture([(0, 2, 2, 10, 10)])] * pictures
        good = [[(2, 2, 10, 10 - int(rng.random() < 0.3), 0.9, 0)] for _ in truth]
        worse = [[(2, 2, 10, row[0][3] - int(rng.random() < 0.2), 0.9, 0)] for row in good]
        one, other = (match(detections(*rows), truth, classes=CLASSES) for rows in (good, worse))
        loss = bootstrap(one, other, resamples=300, seed=0).map50_95
        low, high = loss.interval_pt
        assert low < loss.loss_pt < high
        return high - low

    assert width(800) < 0.7 * width(200)


def test_few_pictures_tell_nothing():
    pictures = [picture([(0, 1, 1, 9, 9)])]
    matches = match(detections([(1, 1, 9, 9, 0.9, 0)]), pictures, classes=CLASSES)

    losses = bootstrap(matches, matches, resamples=50, seed=0)

    assert losses.map50_95.interval_pt == ANYTHING_PT


def test_the_seed_decides_the_draws():
    rng = np.random.default_rng(1)
    pictures = [picture([(0, 2, 2, 10, 10)])] * 30
    rows = [[(2, 2, 10, int(rng.integers(5, 11)), float(rng.random()), 0)] for _ in pictures]
    good = match(detections(*[[(2, 2, 10, 10, 0.9, 0)]] * 30), pictures, classes=CLASSES)
    bad = match(detections(*rows), pictures, classes=CLASSES)

    first, again, other = (bootstrap(good, bad, resamples=100, seed=seed) for seed in (0, 0, 1))

    assert first == again
    assert first.map50_95.interval_pt != other.map50_95.interval_pt
