"""The benchmark of the evaluator, on a toy: that it runs, and that both sides find the same."""

import hashlib
import json

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.evaluator import Turn, compare_evaluators, sum_up
from stages.artifact import Artifact
from stages.dataset import Dataset, Picture, save_dataset
from targets.model import InputSpec, ModelSpec

NAMES = ("hole", "scratch")
BOXES = np.array([[0, 0.5, 0.5, 0.25, 0.25], [1, 0.25, 0.25, 0.25, 0.25]])
ANCHORS = [(16, 16, 8, 8, 0.9, 0), (8, 8, 8, 8, 0, 0.8), (16, 17, 8, 8, 0.7, 0), (25, 25, 4, 4, 0.5, 0.6)]


def save_model(folder):
    answer = np.array(ANCHORS, np.float32).T[None]
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
    folder.mkdir()
    onnx.save(model, folder / "model.onnx")
    ModelSpec(family="toy", class_names=NAMES, input=InputSpec(height=32, width=32)).save(folder)


def save_data(folder):
    for part in ("pictures", "index"):
        (folder / part).mkdir(parents=True)
    val = []
    for number in range(12):
        path = folder / "pictures" / f"p{number}.png"
        cv2.imwrite(str(path), np.full((48, 64, 3), number, np.uint8))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        crowd = np.zeros(len(BOXES), np.bool_)
        val.append(Picture(file=path.name, sha256=digest, width=64, height=48, boxes=BOXES, crowd=crowd))
    save_dataset(Dataset(class_names=NAMES, train=(), val=tuple(val), calibration=()), folder / "index")


@pytest.mark.slow
def test_both_sides_find_the_same_on_the_same_pictures(tmp_path):
    save_model(tmp_path / "onnx")
    save_data(tmp_path)

    figures = compare_evaluators(
        Artifact.of(tmp_path / "onnx"),
        Artifact.of(tmp_path / "index"),
        Artifact.of(tmp_path / "pictures"),
        turns=1,
    )

    assert figures["ratios"]["evaluator_map_difference_by_coco_pt"] == pytest.approx(0, abs=1e-3)
    assert all(
        value > 0
        for value in (figures["ratios"][f"evaluator_{key}"] for key in ("total", "outside_inference"))
    )
    assert json.loads(json.dumps(figures)) == figures


def test_ratios_are_of_medians():
    ours = [Turn(total_ms=ms, inference_ms=1, map50_95=0.5) for ms in (2, 3, 100)]
    theirs = [Turn(total_ms=ms, inference_ms=2, map50_95=0.4995) for ms in (6, 6, 50)]

    figures = sum_up(ours, theirs, theirs_map_by_coco=0.5)

    assert figures["ratios"] == pytest.approx(
        {
            "evaluator_outside_inference": 0.5,
            "evaluator_total": 0.5,
            "evaluator_map_difference_pt": 0.05,
            "evaluator_map_difference_by_coco_pt": 0,
        }
    )
