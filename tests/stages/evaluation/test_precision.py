"""Average precision of weighted pictures: the same figure as of the pictures repeated."""

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stages.evaluation import precision
from stages.evaluation.bootstrap import draw
from stages.evaluation.coco import coco_precisions
from stages.evaluation.matching import match
from stages.evaluation.precision import weighted_precisions
from tests.stages.evaluation.scenes import CLASSES, cases, dataset, repeated, tell_apart


def own_precisions(found, pictures, weights=None, **settings):
    if weights is None:
        weights = np.ones((len(pictures), 1), np.uint16)
    return weighted_precisions(match(found, pictures, classes=CLASSES, **settings), weights)


@settings(max_examples=100, deadline=None)
@given(cases())
def test_without_weights_it_is_what_faster_coco_eval_says(case):
    found, pictures = case

    own = own_precisions(found, pictures)[..., 0]

    theirs = coco_precisions(found, dataset(pictures), max_det=300)
    np.testing.assert_allclose(np.where(np.isnan(own), -1, own), theirs, atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(cases(), st.sampled_from([(0, 1e10), (0, 5), (5, 1e10)]), st.data())
def test_a_weight_counts_a_picture_as_often_as_if_it_were_there_so_often(case, areas_px2, data):
    found, pictures = case
    times = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(pictures), max_size=len(pictures))))
    assume(times.any())
    weights = times[:, None].astype(np.uint16)

    own = own_precisions(tell_apart(found), pictures, weights, areas_px2=areas_px2)

    theirs = own_precisions(*repeated(found, pictures, times), areas_px2=areas_px2)
    np.testing.assert_allclose(own, theirs, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(cases(), st.integers(0, 9))
def test_each_resample_is_what_the_evaluator_says_of_the_resampled_data_set(case, seed):
    found, pictures = case
    weights = draw(len(pictures), 5, seed=seed)

    own = own_precisions(tell_apart(found), pictures, weights)

    for resample, times in enumerate(weights.T):
        again, drawn = repeated(found, pictures, times)
        theirs = coco_precisions(again, dataset(drawn), max_det=300)
        mine = own[..., resample]
        np.testing.assert_allclose(np.where(np.isnan(mine), -1, mine), theirs, atol=1e-12)


def test_sums_are_the_same_however_few_rows_are_added_at_once(monkeypatch):
    random = np.random.default_rng(0)
    weights = random.integers(0, 9, (50, 4)).astype(np.uint16)
    pictures = random.integers(0, 50, 300)
    monkeypatch.setattr(precision, "ROWS_AT_ONCE", 7)

    total = precision.sum_weights(pictures, weights)

    assert total.tolist() == weights[pictures].sum(axis=0, dtype=np.int64).tolist()
