"""Insertion: a float graph becomes a Q/DQ graph that computes what it should."""

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import numpy_helper

from stages.evaluation.simulation import simulated
from stages.quantize.graph import Graph
from stages.quantize.insert import REDUCED_MAX, insert_qdq, quantize_weight
from stages.quantize.placement import place
from stages.quantize.ranges import Grid
from stages.quantize.rules.fusions import broken_fusions

Build = Callable[..., onnx.ModelProto]

PICTURE = Grid(1 / 127)


def run(model: onnx.ModelProto, *, optimize: bool = True) -> np.ndarray:
    """Compute in float; without integer kernels, which saturate on CPUs without VNNI (decision D1)."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"images": images()})[0]


def images() -> np.ndarray:
    return np.random.default_rng(1).random((1, 3, 16, 16), np.float32)


def quantized(
    model: onnx.ModelProto, *exclude: str, grid: Grid = PICTURE, reduced: tuple[str, ...] = ()
) -> onnx.ModelProto:
    placement = place(model, exclude=exclude)
    return insert_qdq(model, placement, dict.fromkeys(placement.activations, grid), reduced=reduced)


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}


def dequantized(values: np.ndarray, axis: int) -> np.ndarray:
    integers, scales = quantize_weight(values, axis)
    return integers * np.expand_dims(scales, 1 - axis)


# Subnormal numbers aside, whose scale has too few bits; and there is no weight of 1e30.
MAGNITUDES = st.floats(2.0**-80, 2.0**80, width=32)
WEIGHTS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=4, max_side=5),
    elements=MAGNITUDES | MAGNITUDES.map(lambda value: -value) | st.just(0.0),
)


class TestWeights:
    @given(values=WEIGHTS, data=st.data())
    def test_no_weight_moves_by_more_than_half_a_step_of_its_channel(
        self, values: np.ndarray, data: st.DataObject
    ) -> None:
        axis = data.draw(st.integers(0, values.ndim - 1))

        integers, scales = quantize_weight(values, axis)

        wide = scales.reshape([-1 if i == axis else 1 for i in range(values.ndim)]).astype(np.float64)
        assert (np.abs(integers * wide - values) <= wide * 0.5001).all()
        assert np.abs(integers.astype(int)).max() <= 127

    def test_each_channel_has_its_own_scale(self) -> None:
        values = np.array([[1.27, -0.5], [0.0, 127.0]], np.float32)

        integers, scales = quantize_weight(values, axis=0)

        assert integers.tolist() == [[127, -50], [0, 127]]
        assert scales == pytest.approx([0.01, 1.0])
        assert quantize_weight(values, axis=1)[1] == pytest.approx([0.01, 1.0])

    def test_a_channel_of_zeros_stays_zero(self) -> None:
        integers, scales = quantize_weight(np.array([[0.0, 0.0], [1.0, 2.0]], np.float32), axis=0)

        assert integers[0].tolist() == [0, 0]
        assert scales[0] == 1.0

    @given(values=WEIGHTS)
    def test_seven_bits_leave_room_for_a_sum_of_two_products(self, values: np.ndarray) -> None:
        integers, _ = quantize_weight(values, 0, largest=REDUCED_MAX)

        largest = np.abs(integers.astype(int)).max()
        assert 2 * 255 * largest <= np.iinfo(np.int16).max
        assert largest == (63 if values.any() else 0)


class TestGraph:
    def test_every_pair_has_three_inputs_and_zero_points_of_zero(self, detector: onnx.ModelProto) -> None:
        model = quantized(detector)
        found = constants(model)
        pairs = [node for node in model.graph.node if node.op_type.endswith("quantizeLinear")]
        pairs += [node for node in model.graph.node if node.op_type == "QuantizeLinear"]

        assert all(len(node.input) == 3 for node in pairs)
        assert all(found[node.input[2]].dtype == np.int8 for node in pairs)
        assert all((found[node.input[2]] == 0).all() for node in pairs)

    @pytest.mark.parametrize("exclude", [("head",), ()], ids=["head in float", "whole graph"])
    def test_the_result_is_valid_with_the_same_opset_inputs_and_outputs(
        self, detector: onnx.ModelProto, exclude: tuple[str, ...]
    ) -> None:
        before = detector.SerializeToString()

        model = quantized(detector, *exclude)

        onnx.checker.check_model(model, full_check=True)
        assert model.opset_import == detector.opset_import
        assert model.graph.input == detector.graph.input
        assert model.graph.output == detector.graph.output
        assert detector.SerializeToString() == before

    def test_nothing_but_what_was_placed_is_quantized(self, detector: onnx.ModelProto) -> None:
        model = quantized(detector, "head")
        nodes = {node.name: node for node in model.graph.node}
        added = {node.op_type for node in model.graph.node if node.name not in nodes_of(detector)}

        assert list(nodes["c0"].input) == ["images_dequantized", "w0_dequantized", "b0"]
        assert list(nodes["box"].input) == ["a1", "w_box", "b_box"]
        assert nodes["w0_DequantizeLinear"].attribute[0].i == 0
        assert added == {"QuantizeLinear", "DequantizeLinear"}
        assert sum(node.op_type == "QuantizeLinear" for node in model.graph.node) == 2

    def test_an_input_that_is_not_placed_reads_the_float_tensor(self, build: Build) -> None:
        model = build(
            "c = Conv (images, w) a = Relu (c) b = Conv (a, v) d = Softmax (a) output0 = Add (b, d)",
            {"w": (4, 3, 1, 1), "v": (4, 4, 1, 1)},
        )

        nodes = nodes_of(quantized(model, "d"))

        assert nodes["b"].input[0] == "a_dequantized"
        assert nodes["d"].input[0] == "a"

    def test_a_residual_block_keeps_its_fusions(self, build: Build) -> None:
        model = build(
            "c0 = Conv (images, w0) s0 = Sigmoid (c0) a0 = Mul (c0, s0) "
            "c1 = Conv (a0, w1) s1 = Sigmoid (c1) a1 = Mul (c1, s1) "
            "c2 = Conv (a1, w2) s2 = Sigmoid (c2) a2 = Mul (c2, s2) "
            "sum = Add (a0, a2) output0 = Conv (sum, w3)",
            {"w0": (4, 3, 1, 1), "w1": (4, 4, 1, 1), "w2": (4, 4, 1, 1), "w3": (4, 4, 1, 1)},
        )

        made = quantized(model)

        assert list(nodes_of(made)["sum"].input) == ["a0_dequantized", "a2"]
        assert list(broken_fusions(Graph(made))) == []

    def test_zero_points_of_unsigned_grids_are_uint8(self, detector: onnx.ModelProto) -> None:
        found = constants(quantized(detector, "head", grid=Grid(0.01, 27, unsigned=True)))

        assert found["a0_zero_point"].dtype == np.uint8
        assert found["a0_zero_point"] == 27
        assert found["w0_zero_point"].dtype == np.int8

    def test_what_is_named_gets_seven_bits_and_the_rest_eight(self, detector: onnx.ModelProto) -> None:
        found = constants(quantized(detector, "head", reduced=("w0",)))

        assert np.abs(found["w0_quantized"]).max() == 63
        assert np.abs(found["w1_quantized"]).max() == 127

    def test_names_that_are_taken_are_avoided(self, build: Build) -> None:
        model = build(
            "a = Conv (images, a_scale) output0 = Conv (a, images_quantized)",
            {"a_scale": (4, 3, 1, 1), "images_quantized": (4, 4, 1, 1)},
        )

        made = quantized(model)

        assert nodes_of(made)["output0"].input[0] == "a_dequantized_1"
        assert run(simulated(made)) == pytest.approx(run(model), abs=0.1)

    def test_a_weight_that_the_body_of_an_if_reads_stays_there_as_floats(self, build: Build) -> None:
        model = build(
            "a = Conv (images, w) sum = ReduceSum (a) choice = Cast <to = 9> (sum) "
            "output0 = If (choice) <then_branch = then () => (float[p, q, r, s] t) { t = Relu (w) }, "
            "else_branch = otherwise () => (float[p, q, r, s] e) { e = Relu (a) }>",
            {"w": (4, 3, 1, 1)},
            output="float[p, q, r, s] output0",
        )

        made = quantized(model, "output0")

        assert {"w", "w_quantized"} <= constants(made).keys()
        onnx.checker.check_model(made, full_check=True)

    def test_weights_are_stored_as_int8_and_no_more_as_floats(self, detector: onnx.ModelProto) -> None:
        found = constants(quantized(detector, "head"))

        assert found["w0_quantized"].dtype == np.int8
        assert found["w0_scale"].shape == (8,)
        assert not {"w0", "w1"} & found.keys()
        assert found["w_box"].dtype == np.float32

    def test_a_weight_shared_with_an_excluded_node_is_there_in_both_forms(self, build: Build) -> None:
        model = build("a = Conv (images, w) b = Conv (a, w) output0 = Conv (b, w)", {"w": (3, 3, 1, 1)})

        made = quantized(model, "head", "b")
        nodes = nodes_of(made)

        assert nodes["a"].input[1] == "w_dequantized"
        assert nodes["b"].input[1] == "w"
        assert {"w", "w_quantized"} <= constants(made).keys()
        assert run(made).shape == (1, 3, 16, 16)

    def test_a_weight_that_two_quantized_nodes_share_is_stored_once(self, build: Build) -> None:
        model = build("a = Conv (images, w) b = Conv (a, w) output0 = Relu (b)", {"w": (3, 3, 1, 1)})

        made = quantized(model)

        assert [name for name in constants(made) if name.startswith("w")] == [
            "w_quantized", "w_scale", "w_zero_point",
        ]  # fmt: skip
        assert run(made).shape == (1, 3, 16, 16)

    def test_a_quantized_output_keeps_its_name_for_those_who_read_it_within_too(self, build: Build) -> None:
        model = build(
            "output0 = Conv (images, w) other = Relu (output0)",
            {"w": (2, 3, 1, 1)},
            output="float[n] output0",
        )
        model.graph.output.append(onnx.ValueInfoProto(name="other", type=model.graph.output[0].type))

        made = quantized(model, grid=Grid(0.02))

        steps = run(made) / 0.02
        assert steps == pytest.approx(np.rint(steps), abs=1e-3)


def nodes_of(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    return {node.name: node for node in model.graph.node}


class TestArithmetic:
    def test_the_graph_computes_what_numpy_says(self, build: Build) -> None:
        model = build(
            "flat = Flatten (images) a = MatMul (flat, w) output0 = Gemm <transB = 1> (a, v, bias)",
            {"w": (768, 8), "v": (4, 8), "bias": (4,)},
        )
        floats = constants(model)
        placement = place(model, exclude=())
        # The first clips what is above 0.635; the second what is below -3.
        pixels = Grid(0.005)
        grids = {"images": pixels, "flat": pixels, "a": Grid(0.03, 100, unsigned=True), "output0": Grid(0.02)}

        made = insert_qdq(model, placement, grids)

        w, v = (dequantized(floats[name], axis) for name, axis in (("w", 1), ("v", 0)))
        a = pixels.round(images().reshape(1, -1)) @ w
        expected = grids["output0"].round(grids["a"].round(a) @ v.T + floats["bias"])
        assert run(simulated(made)) == pytest.approx(expected, abs=1e-5)

    @pytest.mark.parametrize("optimize", [True, False], ids=["optimized", "node by node"])
    def test_the_int8_model_stays_close_to_the_float_model(
        self, detector: onnx.ModelProto, optimize: bool
    ) -> None:
        grids = {"images": Grid(1 / 127), "a0": Grid(3 / 127)}
        made = insert_qdq(detector, place(detector, exclude=("head",)), grids)

        expected, found = run(detector), run(made, optimize=optimize)

        for part in (slice(4), slice(4, 6)):
            noise = found[:, part] - expected[:, part]
            assert np.sqrt((noise**2).mean()) < 0.06 * expected[:, part].std()

    def test_a_transposed_convolution_has_a_scale_for_each_output_channel(self, build: Build) -> None:
        model = build("a = ConvTranspose <strides = [2, 2]> (images, w) output0 = Conv (a, v)",
                      {"w": (3, 5, 2, 2), "v": (2, 5, 1, 1)})  # fmt: skip
        made = quantized(model, "head")

        assert constants(made)["w_scale"].shape == (5,)
        assert run(made) == pytest.approx(run(model), abs=0.03)
