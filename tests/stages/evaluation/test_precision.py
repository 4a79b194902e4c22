"""Average precision of weighted pictures: the same figure as of the pictures repeated."""

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stages.evaluation import precision
from stages.evaluation.bootstrap import draw
from stages.evaluation.coco import coco_precisions
from stages.evaluation.matching import Matches, match
from stages.evaluation.precision import RECALLS, weighted_precisions
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


@st.composite
def any_matches(draw):
    """Give matches that no real boxes would give: thresholds that have nothing to do with each other."""
    pictures, rows = draw(st.integers(1, 4)), draw(st.integers(0, 7))
    flags = st.lists(st.booleans(), min_size=rows, max_size=rows)
    hits, ignored = (np.array([draw(flags) for _ in range(10)], np.bool_).reshape(10, rows) for _ in range(2))
    places = np.array(draw(st.lists(st.integers(0, pictures - 1), min_size=rows, max_size=rows)), np.intp)
    found = np.stack([np.bincount(places[row], minlength=pictures) for row in hits])
    more = draw(st.lists(st.integers(0, 2), min_size=pictures, max_size=pictures))
    return Matches(
        scores=np.linspace(1, 0.1, rows, dtype=np.float32),
        pictures=places,
        hits=hits,
        ignored=ignored & ~hits,
        boxes=found.max(axis=0) + np.array(more),
    )


def plain_precision(matches, times, level):
    """Count as COCO's own evaluation does, each copy of a detection by itself."""
    counted = ~matches.ignored[level]
    right = np.repeat(matches.hits[level][counted], times[matches.pictures[counted]])
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    recall = np.cumsum(right) / (matches.boxes @ times)
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)
    return best[np.searchsorted(recall, RECALLS, side="left")].mean()


@settings(max_examples=150, deadline=None)
@given(any_matches(), st.data())
def test_thresholds_are_counted_each_by_itself(matches, data):
    pictures = len(matches.boxes)
    times = np.array(data.draw(st.lists(st.integers(0, 3), min_size=pictures, max_size=pictures)))
    assume(matches.boxes @ times)

    own = weighted_precisions([matches], times[:, None].astype(np.uint16))[0, :, 0]

    theirs = [plain_precision(matches, times, level) for level in range(10)]
    np.testing.assert_allclose(own, theirs, atol=1e-12)


def test_sums_are_the_same_however_few_rows_are_added_at_once(monkeypatch):
    random = np.random.default_rng(0)
    weights = random.integers(0, 9, (50, 4)).astype(np.uint16)
    pictures = random.integers(0, 50, 300)
    monkeypatch.setattr(precision, "ROWS_AT_ONCE", 7)

    total = precision.sum_weights(pictures, weights)

    assert total.tolist() == weights[pictures].sum(axis=0, dtype=np.int64).tolist()
