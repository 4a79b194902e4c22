"""The paired bootstrap: what it says of losses, and what it refuses."""

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.evaluation.bootstrap import ANYTHING_PT, bootstrap, draw, find_interval
from stages.evaluation.matching import match
from targets.errors import DataError
from tests.stages.evaluation.scenes import CLASSES, detections, picture

PERFECT = ((1, 1, 5, 5), (6, 6, 12, 12))
WRONG = (13, 0, 16, 3)


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


@pytest.mark.parametrize(("pictures", "t"), [(5, 2.776), (10, 2.262), (30, 2.045), (5000, 1.960)])
def test_an_interval_from_few_pictures_is_wider_as_students_t_is(pictures, t):
    normal = np.array([NormalDist().inv_cdf((rank + 0.5) / 100_000) for rank in range(100_000)])

    low, high = find_interval(normal, pictures=pictures)

    assert high == pytest.approx(t * np.sqrt(pictures / (pictures - 1)), rel=0.01)
    assert low == pytest.approx(-high)


def test_draws_count_each_picture_as_often_as_it_is_drawn_and_the_first_case_is_the_set_itself():
    weights = draw(40, 3000, seed=0)

    assert weights[:, 0].tolist() == [1] * 40
    assert (weights[:, 1:].sum(axis=0) == 40).all()
    assert weights[:, 1:].mean(axis=1) == pytest.approx(np.ones(40), abs=0.1)
    assert np.var(weights[:, 1:]) == pytest.approx(1 - 1 / 40, abs=0.02)  # that of a multinomial


def test_a_class_on_few_pictures_says_nothing_of_itself_and_resamples_without_it_do_without():
    pictures = [picture([(0, 1, 1, 9, 9)])] * 19 + [picture([(1, 1, 1, 9, 9)])]
    perfect = match(
        detections(*[[(1, 1, 9, 9, 0.9, 0)]] * 19, [(1, 1, 9, 9, 0.9, 1)]), pictures, classes=CLASSES
    )
    blind = match(detections(*[[]] * 20), pictures, classes=CLASSES)

    losses = bootstrap(perfect, blind, resamples=50, seed=0)

    assert losses.ap50[0].interval_pt == losses.map50_95.interval_pt == pytest.approx((100, 100))
    assert losses.ap50[1].loss_pt == pytest.approx(100)
    assert losses.ap50[1].interval_pt == ANYTHING_PT


def test_pictures_without_boxes_do_not_make_a_sample_larger():
    pictures = [picture([(0, 1, 1, 9, 9)])] * 9 + [picture()] * 50
    matches = match(detections(*[[]] * 59), pictures, classes=1)

    assert bootstrap(matches, matches, resamples=50, seed=0).map50_95.interval_pt == ANYTHING_PT


def test_models_evaluated_on_other_pictures_are_not_compared():
    one = match(detections([]), [picture([(0, 1, 1, 9, 9)])], classes=CLASSES)
    other = match(detections([], []), [picture([(0, 1, 1, 9, 9)]), picture()], classes=CLASSES)

    with pytest.raises(DataError, match="not evaluated on the same pictures"):
        bootstrap(one, other, resamples=5, seed=0)


def test_models_with_other_classes_are_not_compared():
    pictures = [picture([(0, 1, 1, 9, 9)])]

    with pytest.raises(DataError, match="not evaluated on the same pictures"):
        bootstrap(
            match(detections([]), pictures, classes=1), match(detections([]), pictures, classes=2),
            resamples=5, seed=0,
        )  # fmt: skip


def test_pictures_without_boxes_tell_nothing_at_all():
    matches = match(detections([], []), [picture(), picture()], classes=CLASSES)

    with pytest.raises(DataError, match="have no boxes") as caught:
        bootstrap(matches, matches, resamples=5, seed=0)

    assert "Label some validation pictures" in caught.value.hint


@st.composite
def scores_of_models(draw_one):
    """Give, picture by picture, class and scores of two perfect boxes, and scores of wrong ones."""
    score = st.integers(1, 99).map(lambda whole: whole / 100)
    one = st.tuples(st.integers(0, CLASSES - 1), st.tuples(score, score), st.lists(score, max_size=2))
    return draw_one(st.lists(one, min_size=10, max_size=14))


def matches_of(rows):
    pictures = [picture([(class_id, *box) for box in PERFECT]) for class_id, _, _ in rows]
    found = [
        [(*box, score, class_id) for box, score in zip(PERFECT, right, strict=True) if score is not None]
        + [(*WRONG, score, class_id) for score in wrong]
        for class_id, right, wrong in rows
    ]
    return match(detections(*found), pictures, classes=CLASSES)


def losses_of(baseline, candidate):
    losses = bootstrap(baseline, matches_of(candidate), resamples=60, seed=0)
    known = [losses.map50_95, *(loss for loss in losses.ap50 if loss is not None)]
    return np.array([(loss.loss_pt, *loss.interval_pt) for loss in known])


@settings(max_examples=60, deadline=None)
@given(scores_of_models(), scores_of_models(), st.data())
def test_worse_detections_never_lower_a_loss_nor_an_end_of_its_interval(rows, others, data):
    size = min(len(rows), len(others))
    baseline = matches_of([(kind, *other[1:]) for (kind, _, _), other in zip(rows, others, strict=False)])
    candidate, worse = list(rows[:size]), list(rows[:size])
    at = data.draw(st.integers(0, size - 1))
    class_id, right, wrong = worse[at]
    how = data.draw(st.sampled_from(["a lower score", "none at all", "a false alarm on top"]))
    if how == "a lower score":
        worse[at] = (class_id, (right[0] / 2, right[1]), wrong)
    elif how == "none at all":
        worse[at] = (class_id, (None, right[1]), wrong)
    else:
        worse[at] = (class_id, right, [*wrong, 1.0])

    before, after = losses_of(baseline, candidate), losses_of(baseline, worse)

    assert (after >= before - 1e-9).all()
