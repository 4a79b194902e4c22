"""INT8 graphs: float simulation is the reference, OpenVINO computes them in INT8 and gets them right."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from stages.evaluation.simulation import open_simulation
from targets.profile import RuntimeName, TargetProfile
from targets.runtimes.ov import OvRuntime, shared_core

Profiles = Callable[[RuntimeName], TargetProfile]


class QdqGraph:
    """Builds a graph of quantized convolutions, step by step."""

    def __init__(self, zero_point: np.ndarray) -> None:
        self._random = np.random.default_rng(0)
        self._zero_point = zero_point
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []

    def _add(self, op: str, inputs: list[str], **attributes: object) -> str:
        name = f"v{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def _constant(self, value: np.ndarray) -> str:
        name = f"c{len(self._initializers)}"
        self._initializers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def quantized(self, value: str, scale: float) -> str:
        names = [self._constant(np.float32(scale)), self._constant(self._zero_point)]
        return self._add("DequantizeLinear", [self._add("QuantizeLinear", [value, *names]), *names])

    def convolved(self, value: str, channels_in: int) -> str:
        # 7 bits: with 8, the 16-bit sums of CPUs without VNNI saturate, which is another story.
        weights = self._random.integers(-63, 64, (16, channels_in, 3, 3)).astype(np.int8)
        scales = (self._random.random(16) * 0.006 + 0.002).astype(np.float32)
        names = [self._constant(one) for one in (weights, scales, np.zeros(16, np.int8))]
        return self._add("Conv", [value, self._add("DequantizeLinear", names, axis=0)], pads=[1, 1, 1, 1])

    def swished(self, value: str) -> str:
        return self._add("Mul", [value, self._add("Sigmoid", [value])])

    def joined(self, values: list[str]) -> str:
        return self._add("Concat", values, axis=1)

    def save(self, output: str, folder: Path) -> None:
        shape = [1, 16, 20, 20]
        graph = helper.make_graph(
            self._nodes,
            "qdq",
            [helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, shape)],
            self._initializers,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, folder / "model.onnx")


def _save_concat_of_int8(folder: Path) -> None:
    """Save a neck whose Concat works on INT8: rounded on one grid before it and behind it."""
    graph = QdqGraph(np.uint8(9))
    branches = [
        graph.swished(graph.convolved(graph.quantized("images", scale), 16)) for scale in (0.03, 0.017)
    ]
    joined = graph.joined([graph.quantized(branch, 0.03) for branch in branches])
    graph.save(graph.convolved(graph.quantized(joined, 0.03), 32), folder)


def _save_neck(folder: Path, zero_point: np.ndarray) -> None:
    """Save what YOLO's necks are made of: branches joined, quantized, convolved."""
    graph = QdqGraph(zero_point)
    branches = [
        graph.swished(graph.convolved(graph.quantized("images", scale), 16)) for scale in (0.03, 0.017)
    ]
    graph.save(graph.convolved(graph.quantized(graph.joined(branches), 0.03), 32), folder)


@pytest.mark.parametrize(
    "zero_point",
    [
        pytest.param(np.int8(0), id="symmetric, signed: OpenVINO alone gets this wrong by 40 %"),
        pytest.param(np.uint8(9), id="asymmetric, unsigned"),
    ],
)
def test_openvino_agrees_with_the_float_simulation(
    tmp_path: Path, profile: Profiles, zero_point: np.ndarray
) -> None:
    images = np.random.default_rng(1).normal(size=(1, 16, 20, 20)).astype(np.float32)
    _save_neck(tmp_path, zero_point)
    engine = tmp_path / "engine"
    engine.mkdir()
    OvRuntime().build(tmp_path / "model.onnx", profile("openvino"), engine)

    with open_simulation(tmp_path, profile("onnxruntime")) as infer:
        expected = infer(images)
    with OvRuntime().open(engine, profile("openvino")) as infer:
        output = infer(images)

    error = np.sqrt(((output - expected) ** 2).mean() / expected.var())
    assert error < 0.005


def test_openvino_computes_quantized_convolutions_in_int8(tmp_path: Path, profile: Profiles) -> None:
    _save_neck(tmp_path, np.int8(0))
    OvRuntime().build(tmp_path / "model.onnx", profile("openvino"), tmp_path)

    compiled = shared_core().compile_model(tmp_path / "model.xml", "CPU")
    layers = [node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops()]
    kinds = [
        layer["runtimePrecision"].astype(str)
        for layer in layers
        if layer["layerType"].astype(str) == "Convolution"
    ]

    assert len(kinds) == 3
    assert set(kinds) <= {"u8", "i8"}


def test_openvino_does_not_round_again_what_a_concat_only_moves(tmp_path: Path, profile: Profiles) -> None:
    from targets.runtimes.ov_repeats import drop_repeats

    images = np.random.default_rng(1).normal(size=(1, 16, 20, 20)).astype(np.float32)
    _save_concat_of_int8(tmp_path)
    graph = shared_core().read_model(tmp_path / "model.onnx")
    before = shared_core().compile_model(graph, "CPU")(images)[0]

    dropped = drop_repeats(graph)
    after = shared_core().compile_model(graph, "CPU")(images)[0]

    assert dropped == 1
    assert sum(node.get_type_name() == "FakeQuantize" for node in graph.get_ops()) == 4
    np.testing.assert_allclose(after, before, atol=1e-5)


def test_rounding_to_another_grid_is_no_repeat(tmp_path: Path) -> None:
    from targets.runtimes.ov_repeats import drop_repeats

    _save_neck(tmp_path, np.uint8(9))

    assert drop_repeats(shared_core().read_model(tmp_path / "model.onnx")) == 0


def test_float_models_are_left_alone_by_the_rewrite(model_folder: Path) -> None:
    from targets.runtimes.ov_signed import offset_signed_activations

    graph = shared_core().read_model(model_folder / "model.onnx")
    before = [node.get_friendly_name() for node in graph.get_ordered_ops()]

    offset_signed_activations(graph)

    assert [node.get_friendly_name() for node in graph.get_ordered_ops()] == before
