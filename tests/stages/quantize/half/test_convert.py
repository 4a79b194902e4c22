"""Conversion to FP16: a typed graph with casts where types meet and nowhere else."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper, parser

from stages.evaluation.half import half_simulated
from stages.onnx_files import load_onnx
from stages.quantize.half.convert import to_half
from stages.tensor_types import tensor_types
from targets.errors import ModelError

Build = Callable[..., onnx.ModelProto]

CHAIN = """
    c = Conv (images, w)
    r = Relu (c)
    t = Transpose <perm = [0, 1, 3, 2]> (r)
    s = Sigmoid (t)
    d = Conv (s, v)
    output0 = Add (d, bias)
"""
SHAPES = {"w": (3, 3, 1, 1), "v": (3, 3, 1, 1), "bias": (3, 1, 1)}


@pytest.fixture
def net(build: Build) -> Build:
    """Give a model from the text of its graph; its output is of the size of a picture, or as wanted."""

    def make(text: str, *stored: dict[str, object], side: int = 16, channels: int = 3) -> onnx.ModelProto:
        return build(text, *stored, output=f"float[1, {channels}, {side}, {side}] output0")

    return make


@pytest.fixture
def chain(net: Build) -> onnx.ModelProto:
    return net(CHAIN, SHAPES)


def kinds(model: onnx.ModelProto) -> dict[str, str]:
    """Give the type of each tensor, `half` or `float`; others not at all."""
    names = {TensorProto.FLOAT16: "half", TensorProto.FLOAT: "float"}
    return {name: names[kind] for name, kind in tensor_types(model).items() if kind in names}


def casts(model: onnx.ModelProto) -> list[str]:
    return [node.output[0] for node in model.graph.node if node.op_type == "Cast"]


def nodes_of(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    return {node.name: node for node in model.graph.node}


def run(model: onnx.ModelProto, *inputs: np.ndarray) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, dict(zip([one.name for one in session.get_inputs()], inputs, strict=True)))


def pixels() -> np.ndarray:
    return np.random.default_rng(1).random((1, 3, 16, 16), np.float32)


class TestTypes:
    def test_all_is_half_but_the_ends(self, chain: onnx.ModelProto) -> None:
        model = to_half(chain)

        found = kinds(model)
        assert {name for name, kind in found.items() if kind == "float"} == {"images", "output0"}
        assert casts(model) == ["images_half", "output0"]

    def test_inputs_outputs_and_nodes_keep_their_names_and_types(self, chain: onnx.ModelProto) -> None:
        before = chain.SerializeToString()

        model = to_half(chain)

        assert model.graph.input == chain.graph.input
        assert model.graph.output == chain.graph.output
        assert set(nodes_of(chain)) <= set(nodes_of(model))
        assert chain.SerializeToString() == before

    def test_a_kept_node_has_a_cast_on_each_side(self, chain: onnx.ModelProto) -> None:
        model = to_half(chain, ["s"])

        assert casts(model) == ["images_half", "t_float", "s_half", "output0"]

    def test_a_kept_node_has_its_constants_in_float(self, chain: onnx.ModelProto) -> None:
        found = kinds(to_half(chain, ["d"]))

        assert (found["w"], found["v"]) == ("half", "float")

    def test_with_all_nodes_kept_nothing_changes(self, chain: onnx.ModelProto) -> None:
        model = to_half(chain, [node.name for node in chain.graph.node])

        assert list(model.graph.node) == list(chain.graph.node)
        assert list(model.graph.initializer) == list(chain.graph.initializer)

    def test_an_output_that_is_kept_needs_no_cast(self, chain: onnx.ModelProto) -> None:
        assert casts(to_half(chain, ["output0"])) == ["images_half", "d_float"]

    def test_what_stands_between_kept_nodes_stays_with_them(self, chain: onnx.ModelProto) -> None:
        model = to_half(chain, ["c", "d"])

        assert casts(model) == []
        assert {kinds(model)[name] for name in "crtsd"} == {"float"}

    def test_without_a_convolution_all_is_half_nevertheless(self, net: Build) -> None:
        assert casts(to_half(net("a = Relu (images) output0 = Sigmoid (a)", {}))) == [
            "images_half",
            "output0",
        ]

    def test_a_convolution_between_kept_nodes_is_worth_two_casts(self, net: Build) -> None:
        model = net("a = Relu (images) c = Conv (a, w) output0 = Relu (c)", {"w": (3, 3, 1, 1)})

        made = to_half(model, ["a", "output0"])

        assert kinds(made)["c"] == "half"
        assert casts(made) == ["a_half", "c_float"]

    def test_what_moves_values_to_a_kept_node_and_elsewhere_moves_them_in_float(self, net: Build) -> None:
        model = net(
            "a = Sigmoid (images) t = Transpose <perm = [0, 1, 3, 2]> (a) b = Sqrt (t) c = Conv (t, w) "
            "output0 = Add (b, c)",
            {"w": (3, 3, 1, 1)},
        )

        made = to_half(model, ["a", "b"])

        assert kinds(made)["t"] == "float"
        assert casts(made) == ["t_half", "b_half", "output0"]

    def test_a_split_for_a_kept_node_and_another_is_made_in_float(self, net: Build) -> None:
        model = net(
            "a = Sigmoid (images) p, q = Split <axis = 2> (a) b = Sqrt (p) c = Conv (q, w) "
            "output0 = Concat <axis = 2> (b, c)",
            {"w": (3, 3, 1, 1)},
        )

        made = to_half(model, ["a", "b"])

        assert (kinds(made)["p"], kinds(made)["q"]) == ("float", "float")
        assert casts(made) == ["q_half", "c_float"]

    def test_boxes_in_float_and_scores_in_half_are_joined_in_float(self, net: Build) -> None:
        model = net(
            "c = Conv (images, w) boxes = Mul (c, strides) scores = Sigmoid (c) "
            "output0 = Concat <axis = 1> (boxes, scores)",
            {"w": (3, 3, 1, 1), "strides": (1,)},
            channels=6,
        )

        made = to_half(model, ["boxes"])

        assert casts(made) == ["images_half", "c_float", "scores_float"]

    def test_a_tensor_is_cast_once_however_many_read_it(self, net: Build) -> None:
        model = net(
            "a = Conv (images, w) b = Sqrt (a) c = Exp (a) d = Add (b, c) output0 = Conv (d, w)",
            {"w": (3, 3, 1, 1)},
        )

        made = to_half(model, ["b", "c"])

        assert casts(made) == ["images_half", "a_float", "b_half", "c_half", "output0"]

    def test_a_constant_that_is_read_in_both_types_is_stored_in_both(self, net: Build) -> None:
        model = net("a = Conv (images, w) output0 = Conv (a, w)", {"w": (3, 3, 1, 1)})

        made = to_half(model, ["a"])

        assert nodes_of(made)["a"].input[1] == "w"
        assert nodes_of(made)["output0"].input[1] == "w_half"
        assert (kinds(made)["w"], kinds(made)["w_half"]) == ("float", "half")

    def test_constant_nodes_are_constants_too(self, net: Build) -> None:
        model = net(
            "k = Constant <value = float[1] {2.0}> () h = Constant <value_float = 0.5> () "
            "n = Constant <value_ints = [1, 3, 16, 16]> () "
            "a = Mul (images, k) b = Add (a, h) output0 = Reshape (b, n)",
            {},
        )

        made = to_half(model)

        assert (kinds(made)["k"], kinds(made)["h"]) == ("half", "half")
        assert nodes_of(made)["n"].op_type == "Constant"
        assert run(half_simulated(made), pixels())[0] == pytest.approx(run(model, pixels())[0], rel=2e-3)

    def test_an_output_that_is_read_within_has_both_types(self, net: Build) -> None:
        model = net("output0 = Conv (images, w) other = Relu (output0)", {"w": (3, 3, 1, 1)})
        model.graph.output.append(onnx.ValueInfoProto(name="other", type=model.graph.output[0].type))

        made = to_half(model)

        assert nodes_of(made)["other"].input[0] == "output0_half"
        assert casts(made) == ["images_half", "output0", "other"]

    def test_names_that_are_taken_are_left_alone(self, net: Build) -> None:
        model = net("images_half = Relu (images) output0 = Conv (images_half, w)", {"w": (3, 3, 1, 1)})

        made = to_half(model)

        assert casts(made) == ["images_half_1", "output0"]

    def test_stored_tensors_leave_the_list_of_inputs(self, chain: onnx.ModelProto) -> None:
        for name, shape in SHAPES.items():
            chain.graph.input.append(onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        chain.ir_version = 3

        made = to_half(chain)

        assert [one.name for one in made.graph.input] == ["images"]
        assert made.ir_version == 4


class TestOperators:
    def test_the_scales_of_resize_stay_float(self, net: Build) -> None:
        model = net(
            'a = Conv (images, w) output0 = Resize <mode = "nearest"> (a, "", scales)',
            {"w": (3, 3, 1, 1)},
            {"scales": np.array([1, 1, 2, 2], np.float32)},
            side=32,
        )

        made = to_half(model)

        assert kinds(made)["scales"] == "float"
        assert casts(made) == ["images_half", "output0"]

    def test_the_region_of_interest_of_resize_stays_float(self, net: Build) -> None:
        model = net(
            'a = Conv (images, w) output0 = Resize <mode = "nearest"> (a, region, scales)',
            {"w": (3, 3, 1, 1)},
            {"scales": np.array([1, 1, 2, 2], np.float32), "region": np.zeros(8, np.float32)},
            side=32,
        )

        assert kinds(to_half(model))["region"] == "float"

    def test_shape_computations_are_left_alone(self, net: Build) -> None:
        model = net(
            "a = Relu (images) shape = Shape (a) one = Gather (shape, first) "
            "wanted = Concat <axis = 0> (one, rest) output0 = Reshape (a, wanted)",
            {},
            {"first": np.array([0]), "rest": np.array([3, 16, -1])},
        )

        made = to_half(model)

        assert casts(made) == ["images_half", "output0"]
        assert tensor_types(made)["wanted"] == TensorProto.INT64

    def test_integers_are_made_half_at_once(self, net: Build) -> None:
        model = net(
            "n = ArgMax <axis = 1> (images) f = Cast <to = 1> (n) a = Conv (images, w) output0 = Mul (a, f)",
            {"w": (3, 3, 1, 1)},
        )

        made = to_half(model)

        assert nodes_of(made)["f"].attribute[0].i == TensorProto.FLOAT16
        assert casts(made) == ["images_half", "f", "output0"]

    def test_filled_tensors_are_half(self, net: Build) -> None:
        model = net(
            "shape = Shape (images) zeros = ConstantOfShape (shape) "
            "ones = ConstantOfShape <value = float[1] {1.0}> (shape) "
            "a = Add (zeros, ones) output0 = Mul (images, a)",
            {},
        )

        made = to_half(model)

        assert {kinds(made)[name] for name in ("zeros", "ones", "a")} == {"half"}
        assert run(half_simulated(made), pixels())[0] == pytest.approx(pixels(), abs=5e-4)

    def test_operators_without_a_half_form_stay_float(self, net: Build) -> None:
        model = net(
            "steps = Range (start, limit, delta) a = Conv (images, w) output0 = Mul (a, steps)",
            {"w": (3, 3, 1, 1)},
            {
                name: np.array(value, np.float32)
                for name, value in (("start", 0), ("limit", 16), ("delta", 1))
            },
        )

        made = to_half(model)

        assert kinds(made)["steps"] == "float"
        assert casts(made) == ["images_half", "steps_half", "output0"]

    def test_bodies_and_what_they_read_stay_float(self) -> None:
        row = "float[1, 1, 1, 4]"
        model = parser.parse_model(
            f'<ir_version: 8, opset_import: ["": 17]> g ({row} x, bool yes) => ({row} y) {{'
            " a = Conv (x, w) b = Exp (a)"
            f" c = If (yes) <then_branch = one () => ({row} p) {{ p = Mul (b, w) }},"
            f"               else_branch = two () => ({row} q) {{ q = Identity (b) }}>"
            " y = Add (c, a) }"
        )
        model.graph.initializer.append(numpy_helper.from_array(np.full((1, 1, 1, 1), 2, np.float32), "w"))

        made = to_half(model)

        found = kinds(made)
        assert (found["a"], found["b"], found["w"], found["w_half"]) == ("half", "float", "float", "half")
        inputs = np.linspace(0, 1, 4, dtype=np.float32).reshape(1, 1, 1, 4), np.array(True)
        assert run(half_simulated(made), *inputs)[0] == pytest.approx(run(model, *inputs)[0], rel=2e-3)

    def test_a_local_function_stays_float(self, test_data: Path) -> None:
        model = load_onnx(test_data / "onnx" / "odd" / "local_function.onnx")

        assert list(to_half(model).graph.node) == list(
            to_half(model, [to_half(model).graph.node[0].name]).graph.node
        )


class TestRefusals:
    def test_weights_beyond_half_name_their_reader(self, test_data: Path) -> None:
        model = load_onnx(test_data / "onnx" / "odd" / "weights_overflow_fp16.onnx")

        with pytest.raises(ModelError, match=r"which MatMul_0 reads, holds .* beyond FP16") as caught:
            to_half(model)

        assert "Keep MatMul_0 in FP32" in caught.value.hint
        assert casts(to_half(model, ["MatMul_0"])) == []

    def test_infinity_is_half_as_well(self, net: Build) -> None:
        model = net("output0 = Max (images, low)", {}, {"low": np.array(-np.inf, np.float32)})

        assert kinds(to_half(model))["low"] == "half"

    def test_a_model_in_half_is_not_halved_again(self, chain: onnx.ModelProto) -> None:
        with pytest.raises(ModelError, match="holds FP16 already"):
            to_half(to_half(chain))

    def test_double_precision_is_refused(self, test_data: Path) -> None:
        with pytest.raises(ModelError, match="computes in FP64"):
            to_half(load_onnx(test_data / "onnx" / "odd" / "float64_conv.onnx"))

    def test_a_name_that_no_node_has_is_refused(self, chain: onnx.ModelProto) -> None:
        with pytest.raises(ModelError, match="no node 'nosuch'"):
            to_half(chain, ["c", "nosuch"])

    def test_qdq_below_opset_19_is_refused(self, net: Build) -> None:
        model = net(
            "q = QuantizeLinear (images, s, z) output0 = DequantizeLinear (q, s, z)",
            {},
            {"s": np.array(0.1, np.float32), "z": np.array(0, np.int8)},
        )

        with pytest.raises(ModelError, match="no Q/DQ in FP16 at opset 17"):
            to_half(model)

    def test_a_graph_that_contradicts_itself_is_refused(self, test_data: Path) -> None:
        with pytest.raises(ModelError, match=r"not be valid|cannot be inferred"):
            to_half(load_onnx(test_data / "onnx" / "odd" / "broken_shape_conflict.onnx"))

    def test_weights_that_are_cut_off_are_refused(self, test_data: Path) -> None:
        with pytest.raises(ModelError, match="model is not valid"):
            to_half(load_onnx(test_data / "onnx" / "odd" / "broken_initializer_too_short.onnx"))

    def test_dynamic_shapes_are_taken(self, test_data: Path) -> None:
        made = to_half(load_onnx(test_data / "onnx" / "odd" / "dynamic_batch_height_width.onnx"))

        assert casts(made) == ["x_half", "y"]


# ------------------------------------------------------------------------------------------ any graph at all
@st.composite
def graphs(draw: st.DrawFn) -> onnx.ModelProto:
    """Give a graph in which any operator may read anything before it; each tensor is 1x3x4x4."""
    lines, names = [], ["images"]
    for number in range(draw(st.integers(1, 12))):
        source, other = draw(st.sampled_from(names)), draw(st.sampled_from([*names, "k"]))
        name = f"t{number}"
        lines.append(
            draw(
                st.sampled_from(
                    [
                        f"{name} = Sigmoid ({source})",
                        f"{name} = Transpose <perm = [0, 1, 3, 2]> ({source})",
                        f"{name} = Identity ({source})",
                        f"{name} = Conv ({source}, w)",
                        f"{name} = Add ({source}, {other})",
                        f"{name} = Mul ({other}, {source})",
                        f"{name}a, {name} = Split <axis = 2> ({name}c) ",
                    ]
                )
            )
        )
        if f"{name}c" in lines[-1]:
            lines.insert(-1, f"{name}c = Concat <axis = 2> ({source}, {source})")
        names.append(name)
    outputs = {names[-1], draw(st.sampled_from(names[1:]))}
    shape = "float[1, 3, 4, 4]"
    model = parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 17]> any ({shape} images) => '
        f"({', '.join(f'{shape} {name}' for name in sorted(outputs))}) {{ {' '.join(lines)} }}"
    )
    random = np.random.default_rng(0)
    for name, size in (("w", (3, 3, 1, 1)), ("k", (1,))):
        model.graph.initializer.append(
            numpy_helper.from_array(random.normal(scale=0.4, size=size).astype(np.float32), name)
        )
    for node in model.graph.node:
        node.name = node.output[0]
    return model


@settings(max_examples=100, deadline=None)
@given(model=graphs(), data=st.data())
def test_whatever_is_kept_the_graph_is_valid_and_nothing_is_cast_twice(
    model: onnx.ModelProto, data: st.DataObject
) -> None:
    kept = data.draw(st.sets(st.sampled_from([node.name for node in model.graph.node])))

    made = to_half(model, kept)

    onnx.checker.check_model(made, full_check=True)
    found, nodes = kinds(made), nodes_of(made)
    sources = [node.input[0] for node in made.graph.node if node.op_type == "Cast"]
    assert len(sources) == len(set(sources))
    assert not set(sources) & set(casts(made))
    assert all(found[name] == "float" for node in kept for name in nodes[node].output)


@settings(max_examples=60, deadline=None)
@given(model=graphs())
def test_the_rounded_graph_stays_close_to_the_float_graph(model: onnx.ModelProto) -> None:
    images = pixels()[:, :, :4, :4]

    wanted, given_ = run(model, images), run(half_simulated(to_half(model)), images)

    for one, other in zip(wanted, given_, strict=True):
        assert other == pytest.approx(one, abs=2e-2 * max(1.0, float(np.abs(one).max())))
