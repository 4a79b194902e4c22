"""Pictures that go along: those on which a device cannot honestly find anything else."""

from dataclasses import replace

import numpy as np
from hypothesis import given

from pipeline.release.pick import pick
from targets.model import InputSpec, ModelSpec
from targets.postprocess import decode
from targets.preprocess import Placement
from tests.pipeline.release.stored_run import SEEN, SPEC
from tests.stages.evaluation.scenes import cases, detections


def test_pictures_with_close_calls_stay_behind() -> None:
    places = [one.place for one in pick(detections(*SEEN), SPEC)]

    assert 3 not in places  # a score near the deployed confidence
    assert 4 not in places  # a box of two classes


def test_the_first_pictures_show_all_classes_and_the_last_are_empty() -> None:
    found = list(pick(detections(*SEEN), SPEC))

    assert [one.place for one in found] == [2, 0, 5, 1]
    assert [len(one.boxes) for one in found] == [2, 1, 1, 0]


def test_scores_below_the_deployed_confidence_are_not_expected() -> None:
    last = next(one for one in pick(detections(*SEEN), SPEC) if one.place == 5)

    assert last.boxes[:, 4].tolist() == [np.float32(0.9)]


def test_what_is_not_finite_is_a_close_call() -> None:
    assert list(pick(detections([(1, 1, np.inf, 8, 0.9, 0)]), SPEC)) == []


@given(cases())
def test_each_picture_is_picked_at_most_once(case) -> None:
    found, pictures = case

    places = [one.place for one in pick(found, SPEC)]

    assert len(set(places)) == len(places) <= len(pictures)


def test_what_is_expected_is_what_a_detector_finds() -> None:
    """Random outputs of a model, read as validation does and as a detector does."""
    spec = ModelSpec(family="x", class_names=("a", "b", "c"), input=InputSpec(64, 64))
    draw, agreed = np.random.default_rng(5), 0
    for _ in range(1500):
        output = np.concatenate(
            [draw.uniform(4, 60, (1, 2, 6)), draw.uniform(2, 30, (1, 2, 6)), draw.beta(0.1, 1.0, (1, 3, 6))],
            axis=1,
        ).astype(np.float32)
        placement = Placement(width=64, height=64, inner_width=64, inner_height=64, left_px=0, top_px=0)
        validated = decode(output, replace(spec, conf=0.001), placement, multi_label=True)
        for one in pick(detections(validated), spec):
            assert np.array_equal(one.boxes, decode(output, spec, placement))
            agreed += len(one.boxes) > 0

    assert agreed > 20
