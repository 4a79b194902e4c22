"""Dialects: the same graph for every target, at another opset and in other types."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from stages.artifact import Artifact
from stages.evaluation.half import half_simulated
from stages.evaluation.simulation import simulated
from stages.export import Export, ExportInputs
from stages.onnx_files import load_onnx
from stages.quantize.dialect import to_dialect
from stages.quantize.graph import Graph, name_nodes
from stages.quantize.half.decoding import decoding_of
from stages.quantize.insert import insert_qdq
from stages.quantize.opset import opset_of, raise_opset
from stages.quantize.placement import place
from stages.quantize.ranges import Grid
from stages.quantize.rules import breaches, rules_for
from stages.stage import no_progress
from stages.tensor_types import tensor_types
from targets.errors import ModelError
from targets.profile import Dialect

Build = Callable[..., onnx.ModelProto]
FLOAT = Dialect()
HALF = Dialect(opset=19, scale_dtype="float16")
SIDE_PX = 96  # three strides of 32, as `checkpoint_of` has it
DECODING = {"bins", "turned", "shares", "dfl", "sides", "boxes", "logits", "scores", "output0"}


def quantized(
    model: onnx.ModelProto, *, scale: float = 0.02, exclude: tuple[str, ...] = ("head",)
) -> onnx.ModelProto:
    placement = place(model, exclude=exclude)
    return insert_qdq(model, placement, dict.fromkeys(placement.activations, Grid(scale)))


def run(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {session.get_inputs()[0].name: images})[0]


def pixels(side_px: int = 16) -> np.ndarray:
    return np.random.default_rng(1).random((1, 3, side_px, side_px), np.float32)


def scales(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    graph = Graph(model)
    pairs = [node for node in graph.nodes if node.op_type.endswith("Linear")]
    return {node.input[1]: numpy_helper.to_array(graph.weights[node.input[1]]) for node in pairs}


class TestFloatScales:
    def test_at_the_same_opset_it_is_the_graph_itself(self, detector: onnx.ModelProto) -> None:
        model = quantized(detector)

        assert to_dialect(model, FLOAT) is model

    @pytest.mark.parametrize("opset", [18, 19, 20])
    def test_at_a_newer_opset_it_computes_the_same(self, detector: onnx.ModelProto, opset: int) -> None:
        model = quantized(detector)

        made = to_dialect(model, Dialect(opset=opset))

        onnx.checker.check_model(made, full_check=True)
        assert made.opset_import[0].version == opset
        assert breaches(made, rules_for("tensorrt", "10.3", Dialect(opset=opset))) == []
        assert np.array_equal(run(simulated(made), pixels()), run(simulated(model), pixels()))


class TestHalfScales:
    @pytest.mark.parametrize("exclude", [("head",), ()], ids=["head in float", "whole graph"])
    @pytest.mark.parametrize("version", ["10.0", "10.3", "10.16", "11"])
    def test_it_keeps_the_rules_of_strongly_typed_tensorrt(
        self, detector: onnx.ModelProto, version: str, exclude: tuple[str, ...]
    ) -> None:
        made = to_dialect(quantized(detector, exclude=exclude), HALF)

        onnx.checker.check_model(made, full_check=True)
        assert breaches(made, rules_for("tensorrt", version, HALF)) == []

    def test_all_that_is_not_int8_is_half_but_decoding_and_the_ends(self, detector: onnx.ModelProto) -> None:
        made = to_dialect(quantized(detector), HALF)

        types = tensor_types(made)
        floats = {name for name, kind in types.items() if kind == TensorProto.FLOAT}
        assert floats == DECODING | {"images", "w_dfl", "strides", "box_float", "cls_float"}
        assert {values.dtype for values in scales(made).values()} == {np.dtype(np.float16)}
        assert made.graph.input == detector.graph.input
        assert made.graph.output == detector.graph.output

    def test_what_is_kept_may_be_said(self, detector: onnx.ModelProto) -> None:
        made = to_dialect(quantized(detector), HALF, keep_fp32=["boxes"])

        types = tensor_types(made)
        assert types["sides"] == types["scores"] == TensorProto.FLOAT16
        assert types["boxes"] == types["output0"] == TensorProto.FLOAT

    def test_a_kept_convolution_has_its_pair_in_float(self, detector: onnx.ModelProto) -> None:
        made = to_dialect(quantized(detector), HALF, keep_fp32=["c1", "a1", "boxes"])

        assert scales(made)["w1_scale"].dtype == np.float32
        assert scales(made)["w0_scale"].dtype == np.float16
        assert breaches(made, rules_for("tensorrt", "10.3", HALF)) == []

    def test_what_a_kept_node_gives_is_rounded_as_it_is(self, detector: onnx.ModelProto) -> None:
        made = to_dialect(quantized(detector), HALF, keep_fp32=["a0", "boxes"])

        nodes = {node.name: node for node in made.graph.node}
        types = tensor_types(made)
        rounds, back = nodes["a0_QuantizeLinear"], nodes["a0_DequantizeLinear"]
        assert [types[name] for name in rounds.input[:2]] == [TensorProto.FLOAT] * 2
        assert types[back.output[0]] == types[back.input[1]] == TensorProto.FLOAT16
        assert breaches(made, rules_for("tensorrt", "10.3", HALF)) == []

    def test_it_computes_nearly_the_same(self, detector: onnx.ModelProto) -> None:
        model = quantized(detector)

        found = run(half_simulated(simulated(to_dialect(model, HALF))), pixels())
        expected = run(simulated(model), pixels())

        # A value near a tie may go to the other integer: a step of 0.02 in one activation.
        assert found == pytest.approx(expected, abs=0.02)

    def test_scales_too_small_for_half_go_up_and_integers_go_with_them(self, build: Build) -> None:
        model = build("output0 = Conv (images, w)", {"w": (4, 3, 1, 1)}, output="float[1, 4, 16, 16] output0")
        weight = numpy_helper.to_array(model.graph.initializer[0]) * np.array(
            [1, 1e-3, 1e-4, 1e-9], np.float32
        ).reshape(4, 1, 1, 1)
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "w"))

        made = to_dialect(quantized(model, exclude=()), HALF, keep_fp32=())

        scale = scales(made)["w_scale"].astype(np.float64)
        stored = next(one for one in made.graph.initializer if one.name == "w_quantized")
        values = numpy_helper.to_array(stored).astype(np.float64) * scale.reshape(4, 1, 1, 1)
        assert (scale > 0).all()
        for channel in range(4):
            step = max(scale[channel], np.abs(weight[channel]).max() / 127)
            assert np.abs(values[channel] - weight[channel]).max() <= 1.01 * step
        assert np.abs(stored_integers(made)).max() <= 127

    def test_half_scales_need_opset_19(self, detector: onnx.ModelProto) -> None:
        with pytest.raises(ModelError, match="no Q/DQ in FP16 at opset 18"):
            to_dialect(quantized(detector), Dialect(opset=18, scale_dtype="float16"))


def stored_integers(model: onnx.ModelProto) -> np.ndarray:
    return numpy_helper.to_array(
        next(one for one in model.graph.initializer if one.name == "w_quantized")
    ).astype(int)


class TestDecoding:
    def test_constant_nodes_in_it_are_constants(self, detector: onnx.ModelProto) -> None:
        graph = detector.graph
        stored = next(one for one in graph.initializer if one.name == "strides")
        graph.node.insert(0, helper.make_node("Constant", [], ["strides"], "strides", value=stored))
        graph.initializer.remove(stored)

        made = to_dialect(quantized(detector), HALF)

        assert tensor_types(made)["boxes"] == TensorProto.FLOAT

    def test_it_is_what_follows_the_head(self, detector: onnx.ModelProto) -> None:
        assert decoding_of(detector) == DECODING
        assert decoding_of(quantized(detector)) == DECODING

    def test_it_ends_at_quantized_convolutions_too(self, detector: onnx.ModelProto) -> None:
        found = decoding_of(quantized(detector, exclude=()))

        assert {"sides", "boxes", "scores"} <= found
        assert not {"c0", "a0", "c1", "a1", "box", "cls"} & found

    def test_a_graph_without_weights_has_none(self, build: Build) -> None:
        assert decoding_of(build("a = Relu (images) output0 = Sigmoid (a)", {})) == frozenset()


class TestOpset:
    def test_a_newer_model_keeps_its_opset_and_the_rules_say_who_reads_it(
        self, detector: onnx.ModelProto
    ) -> None:
        newer = to_dialect(raise_opset(detector, 19), FLOAT)

        assert opset_of(newer) == 19
        assert breaches(newer, rules_for("openvino", "", FLOAT)) == []
        assert "opset" in breaches(newer, rules_for("tensorrt", "8.5", FLOAT))[0]

    def test_what_operators_had_as_attributes_becomes_inputs(self, build: Build) -> None:
        model = build(
            "low = ReduceMean <axes = [1]> (images) a, b = Split <axis = 2> (low) "
            'c = Resize <mode = "nearest"> (a, "", wide) output0 = Pad (c, pads)',
            {},
            {"wide": np.array([1, 1, 2, 2], np.float32), "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1])},
            output="float[1, 1, 18, 34] output0",
        )

        made = raise_opset(model, 19)

        assert run(made, pixels()) == pytest.approx(run(model, pixels()), abs=1e-6)
        assert all(node.name for node in made.graph.node)
        assert made.ir_version >= 9

    def test_the_converter_leaves_the_model_alone(self, detector: onnx.ModelProto) -> None:
        before = detector.SerializeToString()

        raise_opset(detector, 19)

        assert detector.SerializeToString() == before

    @pytest.mark.parametrize(
        "name", ["broken_unknown_op.onnx", "broken_shape_conflict.onnx", "local_function.onnx"]
    )
    def test_what_the_converter_does_not_know_is_refused(self, name: str, test_data: Path) -> None:
        with pytest.raises(ModelError, match="cannot be raised"):
            raise_opset(load_onnx(test_data / "onnx" / "odd" / name), 19)

    def test_an_old_foreign_model_is_raised(self, test_data: Path) -> None:
        model = load_onnx(test_data / "weights" / "yolox_nano.onnx")

        made = raise_opset(model, 17)

        images = np.random.default_rng(0).random((1, 3, 416, 416), np.float32) * 255
        assert run(made, images) == pytest.approx(run(model, images), rel=1e-5, abs=1e-4)


FAMILIES = ["yolov5n", "yolov8n", "yolov9t", "yolov10n", "yolo11n", "yolo12n", "yolo26n"]


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_its_dialects(
    family: str, checkpoint_of: Callable[..., Artifact], tmp_path: Path
) -> None:
    exported = Export().run(ExportInputs(checkpoint=checkpoint_of(family)), tmp_path, no_progress).onnx
    model = name_nodes(load_onnx(exported / "model.onnx"))

    for opset in (19, 20):
        # AveragePool and Reduce* have other kernels there: equal but for the order of sums.
        raised = raise_opset(model, opset)
        assert run(raised, pixels(SIDE_PX)) == pytest.approx(run(model, pixels(SIDE_PX)), rel=1e-5, abs=1e-4)

        half = Dialect(opset=opset, scale_dtype="float16")
        made = to_dialect(quantized(model), half)
        onnx.checker.check_model(made, full_check=True)
        for version in ("10.3", "10.16", "11"):
            assert breaches(made, rules_for("tensorrt", version, half)) == []
        assert helper.find_min_ir_version_for(made.opset_import) <= made.ir_version
