"""Decoding and NMS, held against torchvision and Ultralytics."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st

from targets.errors import ModelError
from targets.model import InputSpec, ModelSpec
from targets.postprocess import decode, suppress
from targets.preprocess import place

INPUT = InputSpec(height=64, width=64)
SPEC = ModelSpec(family="toy", class_names=("hole", "scratch"), input=INPUT, conf=0.25, iou=0.5)
END2END = replace(SPEC, output="end2end")
WHOLE = place(64, 64, INPUT)


def answer(*anchors):
    """Give a raw output from anchors of (x, y, w, h, score, score)."""
    return np.array(anchors, np.float32).reshape(-1, 6).T[None].copy()


def random_answer(rng, *, classes, anchors):
    boxes = np.concatenate([rng.uniform(0, 64, (2, anchors)), rng.uniform(5, 30, (2, anchors))])
    return np.concatenate([boxes, rng.beta(0.5, 2, (classes, anchors))])[None].astype(np.float32)


whole_pixels = st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 10), st.integers(0, 10))
candidates = st.lists(st.tuples(whole_pixels, st.integers(0, 2)), max_size=300)


@settings(max_examples=150, deadline=None)
@given(candidates, st.sampled_from([0.25, 0.5, 0.6, 0.7, 0.75]), st.randoms(use_true_random=False))
def test_nms_keeps_exactly_what_torchvision_keeps(rows, iou, random):
    rows = [(x, y, x + w, y + h, random.random(), kind) for (x, y, w, h), kind in rows]
    table = np.array(sorted(rows, key=lambda row: -row[4]), np.float32).reshape(-1, 6)
    boxes, scores, kinds = (torch.from_numpy(part) for part in (table[:, :4], table[:, 4], table[:, 5]))

    kept = suppress(table, iou=iou, max_det=1000)

    by_class = [torch.nonzero(kinds == kind)[:, 0] for kind in range(3)]
    theirs = [at[torchvision.ops.nms(boxes[at].contiguous(), scores[at], iou)] for at in by_class]
    assert kept.tolist() == sorted(torch.cat(theirs).tolist())


@pytest.mark.parametrize("multi_label", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_decoding_finds_what_ultralytics_finds(multi_label, seed):
    from ultralytics.utils.nms import non_max_suppression
    from ultralytics.utils.ops import scale_boxes

    import stages.yolo  # noqa: F401

    spec = replace(SPEC, class_names=("a", "b", "c", "d", "e"), conf=0.1, max_det=50)
    output = random_answer(np.random.default_rng(seed), classes=5, anchors=400)
    theirs = non_max_suppression(torch.from_numpy(output), 0.1, 0.5, multi_label=multi_label, max_det=50)[0]
    scale_boxes((64, 64), theirs[:, :4], (480, 640))

    found = decode(output, spec, place(640, 480, INPUT), multi_label=multi_label)

    assert found.shape == (50, 6)
    np.testing.assert_allclose(found, theirs.numpy(), atol=1e-3)


def test_in_deployment_a_box_has_its_best_class_only():
    output = answer((32, 32, 20, 20, 0.5, 0.75))

    assert decode(output, SPEC, WHOLE)[:, 4:].tolist() == [[0.75, 1]]
    assert decode(output, SPEC, WHOLE, multi_label=True)[:, 4:].tolist() == [[0.75, 1], [0.5, 0]]


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place_in_row", range(6))
@pytest.mark.parametrize("multi_label", [True, False])
def test_what_is_not_finite_is_no_detection(broken, place_in_row, multi_label):
    output = answer((10, 10, 5, 5, 0.9, 0.9), (40, 40, 5, 5, 0.8, 0))
    output[0, place_in_row, 0] = broken

    found = decode(output, SPEC, WHOLE, multi_label=multi_label)

    assert np.isfinite(found).all()
    assert [37.5, 37.5, 42.5, 42.5, np.float32(0.8), 0] in found.tolist()


def test_a_model_that_answers_only_nan_finds_nothing():
    nothing = np.full((1, 6, 8), np.nan, np.float32)

    assert decode(nothing, SPEC, WHOLE, multi_label=True).shape == (0, 6)
    assert decode(np.full((1, 3, 6), np.nan, np.float32), END2END, WHOLE).shape == (0, 6)


def test_boxes_too_large_for_a_float_do_no_harm():
    huge = answer((3e38, 0, 3e38, 3e38, 0.9, 0), (1e30, 1e30, 1e38, 1e38, 0.8, 0), (9, 9, 2, 2, 0.7, 0))

    found = decode(huge, SPEC, place(640, 640, INPUT))

    assert np.isfinite(found).all()
    assert found[:, 4].tolist() == [np.float32(0.8), np.float32(0.7)]


def test_an_end_to_end_model_needs_no_nms():
    rows = [[0, 0, 9, 9, 0.3, 1], [0, 0, 9, 9, 0.9, 1], [1, 1, 2, 2, 0.1, 0], [1, 1, 2, 2, 0.9, 7]]
    output = np.array([rows], np.float32)

    found = decode(output, END2END, place(128, 128, INPUT))

    assert found[:, :4].tolist() == [[0, 0, 18, 18], [0, 0, 18, 18]]
    assert found[:, 4:].tolist() == [[np.float32(0.9), 1], [np.float32(0.3), 1]]


def test_no_more_than_max_det_are_kept_and_those_the_best():
    output = answer(
        *[(x, y, 2, 2, 0.3 + 0.01 * y + 0.001 * x, 0) for x in range(2, 60, 4) for y in range(2, 60, 4)]
    )

    few = decode(output, replace(SPEC, max_det=7), WHOLE)

    assert few.tolist() == decode(output, SPEC, WHOLE)[:7].tolist()


@pytest.mark.parametrize(
    ("shape", "spec"), [((1, 84, 8), SPEC), ((2, 6, 8), SPEC), ((6, 8), SPEC), ((1, 300, 7), END2END)]
)
def test_an_output_of_another_shape_is_refused(shape, spec):
    with pytest.raises(ModelError, match="answers with shape"):
        decode(np.zeros(shape, np.float32), spec, WHOLE)
