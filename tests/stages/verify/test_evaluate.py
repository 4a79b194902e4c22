"""Evaluate: a form of the model on the validation pictures, with real runtimes."""

import hashlib
from dataclasses import replace

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from stages.artifact import Artifact
from stages.dataset import Dataset, Picture, load_dataset, save_dataset
from stages.evaluation.detect import load_detections
from stages.stage import no_progress
from stages.verify import Compare, CompareInputs, Evaluate, EvaluateInputs
from targets.errors import DataError
from targets.model import InputSpec, ModelSpec
from targets.runtimes.null import NullRuntime

NAMES = ("hole", "scratch")
SPEC = ModelSpec(family="toy", class_names=NAMES, input=InputSpec(height=32, width=32))
BOXES = np.array([[0, 0.5, 0.5, 0.25, 0.25], [1, 0.25, 0.25, 0.25, 0.25]])
PERFECT = [(16, 16, 8, 8, 0.9, 0), (8, 8, 8, 8, 0, 0.8)]  # anchors of x, y, w, h, score, score
ONE_MISSED = [(16, 16, 8, 8, 0.9, 0)]


def save_model(folder, anchors, spec=SPEC):
    """Write an ONNX model that sees these anchors in every picture."""
    folder.mkdir()
    answer = np.array(anchors, np.float32).T[None]
    nodes = [
        helper.make_node("ReduceMax", ["images"], ["brightest"], keepdims=0),
        helper.make_node("Min", ["brightest", "none"], ["zero"]),
        helper.make_node("Add", ["answer", "zero"], ["output0"]),
    ]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, list(answer.shape))],
        [numpy_helper.from_array(answer, "answer"), numpy_helper.from_array(np.float32(0), "none")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "model.onnx")
    spec.save(folder)
    return Artifact.of(folder)


def save_data(folder, *, pictures=12, boxes=BOXES):
    """Write validation pictures and their index."""
    (folder / "pictures").mkdir(parents=True)
    (folder / "index").mkdir()
    val = []
    for number in range(pictures):
        path = folder / "pictures" / f"{number:02}.png"
        cv2.imwrite(str(path), np.full((32, 32, 3), number, np.uint8))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        crowd = np.zeros(len(boxes), np.bool_)
        val.append(Picture(file=path.name, sha256=digest, width=32, height=32, boxes=boxes, crowd=crowd))
    save_dataset(Dataset(class_names=NAMES, train=(), val=tuple(val), calibration=()), folder / "index")
    return Artifact.of(folder / "index"), Artifact.of(folder / "pictures")


def evaluate(tmp_path, model, data, stage=None, out="out"):
    index, pictures = data
    inputs = EvaluateInputs(model=model, index=index, pictures=pictures, profile=None, host="")
    return (stage or Evaluate(runtime="onnxruntime")).run(inputs, tmp_path / out, no_progress)


@pytest.fixture
def data(tmp_path):
    return save_data(tmp_path / "data")


def test_a_model_that_finds_everything_scores_one(tmp_path, data):
    model = save_model(tmp_path / "model", PERFECT)

    evaluated = evaluate(tmp_path, model, data)

    assert (evaluated.map50_95, evaluated.map50) == pytest.approx((1, 1))
    assert [(one.name, one.boxes) for one in evaluated.classes] == [("hole", 12), ("scratch", 12)]
    assert evaluated.pictures == 12
    assert evaluated.notes == ()
    assert evaluated.detections == Artifact.of(tmp_path / "out" / "detections")


def test_the_same_evaluation_gives_the_same_bytes(tmp_path, data):
    model = save_model(tmp_path / "model", PERFECT)

    once, again = (evaluate(tmp_path, model, data, out=out) for out in ("a", "b"))

    assert once.detections.digest == again.detections.digest


def test_a_float_simulation_of_a_float_model_is_the_model(tmp_path, data):
    model = save_model(tmp_path / "model", PERFECT)

    simulated = evaluate(tmp_path, model, data, Evaluate(runtime="onnxruntime", simulate=True))

    assert simulated.map50_95 == pytest.approx(1)


def test_a_model_that_answers_nan_scores_zero_and_it_is_said(tmp_path, data):
    model = save_model(tmp_path / "model", [(np.nan,) * 6])

    evaluated = evaluate(tmp_path, model, data)

    assert (evaluated.map50_95, evaluated.map50) == (0, 0)
    assert evaluated.notes == (
        "On 12 of 12 pictures the model answered NaN or infinity; that is no detection.",
    )


def test_the_null_runtime_finds_nothing(tmp_path, data):
    save_model(tmp_path / "model", PERFECT)
    (tmp_path / "engine").mkdir()
    NullRuntime().build(tmp_path / "model" / "model.onnx", None, tmp_path / "engine")
    SPEC.save(tmp_path / "engine")

    evaluated = evaluate(tmp_path, Artifact.of(tmp_path / "engine"), data, Evaluate(runtime="null"))

    assert evaluated.map50_95 == 0


@pytest.mark.slow
def test_a_checkpoint_is_evaluated_like_any_other_form_and_torch_is_left_as_it_was(tmp_path, data):
    import torch
    from ultralytics.nn.tasks import yaml_model_load

    from stages.checkpoint import save_checkpoint
    from stages.evaluation.pytorch import open_checkpoint
    from stages.yolo import build_detector

    torch.manual_seed(0)
    module = build_detector(yaml_model_load("yolov8n.yaml"), classes=2).eval()
    (tmp_path / "checkpoint").mkdir()
    save_checkpoint(module, spec=SPEC, packages=(), folder=tmp_path / "checkpoint")
    checkpoint = Artifact.of(tmp_path / "checkpoint")
    threads = torch.get_num_threads()

    evaluated = evaluate(tmp_path, checkpoint, data, Evaluate(runtime="pytorch", conf=0.0))

    assert torch.get_num_threads() == threads
    with open_checkpoint(checkpoint) as infer:
        shape = infer(np.zeros((1, 3, 32, 32), np.float32)).shape
    assert shape == (1, 6, 21)
    counts = load_detections(evaluated.detections, pictures=12).counts
    assert (counts > 0).all()


@pytest.mark.parametrize(
    ("contents", "message", "hint"),
    [
        pytest.param({"pictures": 0}, "no validation pictures", "Name a folder", id="no pictures"),
        pytest.param({"boxes": np.zeros((0, 5))}, "have no boxes", "Label some", id="no boxes"),
    ],
)
def test_without_evidence_there_is_no_score(tmp_path, contents, message, hint):
    model = save_model(tmp_path / "model", PERFECT)

    with pytest.raises(DataError, match=message) as caught:
        evaluate(tmp_path, model, save_data(tmp_path / "data", **contents))

    assert hint in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_a_model_of_other_classes_is_refused(tmp_path, data):
    other = replace(SPEC, class_names=("person", "bicycle", "car"))
    model = save_model(tmp_path / "model", [(1,) * 7], other)

    with pytest.raises(DataError, match=r"knows 3 classes, the data set has 2 \(hole, scratch\)"):
        evaluate(tmp_path, model, data)


def compare(tmp_path, data, baseline, candidate):
    index, _ = data
    inputs = CompareInputs(baseline=baseline.detections, candidate=candidate.detections, index=index)
    return Compare(resamples=100).run(inputs, tmp_path / "none", no_progress)


def test_a_candidate_that_misses_a_class_has_lost_half(tmp_path, data):
    good = evaluate(tmp_path, save_model(tmp_path / "good", PERFECT), data, out="a")
    blind = evaluate(tmp_path, save_model(tmp_path / "blind", ONE_MISSED), data, out="b")

    compared = compare(tmp_path, data, good, blind)

    assert compared.drift_pt == pytest.approx(100 * (good.map50_95 - blind.map50_95)) == pytest.approx(50)
    assert compared.drift_ci_pt == pytest.approx((50, 50))
    assert [(one.name, round(one.ap50_loss_pt)) for one in compared.classes] == [
        ("hole", 0),
        ("scratch", 100),
    ]
    assert not (tmp_path / "none").exists()


def test_a_form_has_not_drifted_from_itself(tmp_path, data):
    evaluated = evaluate(tmp_path, save_model(tmp_path / "model", PERFECT), data)

    compared = compare(tmp_path, data, evaluated, evaluated)

    assert (compared.drift_pt, compared.drift_ci_pt) == (0, (0, 0))


def test_forms_evaluated_on_different_data_cannot_be_compared(tmp_path, data):
    model = save_model(tmp_path / "model", PERFECT)
    here = evaluate(tmp_path, model, data, out="a")
    there = evaluate(tmp_path, model, save_data(tmp_path / "other", pictures=11), out="b")

    with pytest.raises(DataError, match="does not fit 12 validation pictures"):
        compare(tmp_path, data, here, there)

    assert len(load_dataset(data[0]).val) == 12
