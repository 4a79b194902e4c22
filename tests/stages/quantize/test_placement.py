"""Placement: what of a graph becomes INT8."""

from collections.abc import Callable

import onnx
import pytest

from stages.quantize.placement import LeftOut, Weight, find_head, name_nodes, place
from targets.errors import ModelError, UsageError

Build = Callable[..., onnx.ModelProto]


def test_the_body_is_quantized_and_the_head_stays_in_float(detector: onnx.ModelProto) -> None:
    placement = place(detector, exclude=("head",))

    assert placement.nodes == ("c0", "c1")
    assert placement.activations == ("images", "a0")
    assert placement.weights == (Weight("w0", 0), Weight("w1", 0))
    assert placement.left_out == (
        LeftOut("box", "output convolution of the head"),
        LeftOut("cls", "output convolution of the head"),
        LeftOut("dfl", "decoding of the head"),
    )


def test_the_head_is_what_lies_behind_the_last_weights_dfl_included(detector: onnx.ModelProto) -> None:
    head = find_head(detector)

    assert head.outputs == {"box", "cls"}
    assert head.decoding == {
        "bins", "turned", "shares", "dfl", "sides", "boxes", "logits", "scores", "output0",
    }  # fmt: skip


def test_a_pattern_keeps_the_nodes_that_fit_in_float(detector: onnx.ModelProto) -> None:
    placement = place(detector, exclude=("head", "c[0]", "s?"))

    assert placement.nodes == ("c1",)
    assert placement.activations == ("a0",)
    assert LeftOut("c0", "excluded by 'c[0]'") in placement.left_out


def test_without_exclusions_the_whole_graph_is_quantized(detector: onnx.ModelProto) -> None:
    placement = place(detector, exclude=())

    assert {"c0", "c1", "box", "cls", "dfl", "boxes", "output0"} <= set(placement.nodes)
    assert {"images", "a0", "a1", "box", "cls", "shares", "sides", "scores", "output0"} <= set(
        placement.activations
    )
    assert not {"w0", "b0", "w_dfl", "strides", "bins_shape"} & set(placement.activations)
    assert Weight("w_dfl", 0) in placement.weights
    assert placement.left_out == ()


def test_a_pattern_without_head_leaves_that_in_float_and_quantizes_the_head(
    detector: onnx.ModelProto,
) -> None:
    placement = place(detector, exclude=("c0", "output0"))

    assert "box" in placement.nodes
    assert not {"c0", "output0"} & set(placement.nodes)


def test_a_tensor_that_many_nodes_read_gets_one_pair(build: Build) -> None:
    model = build(
        "a = Conv (images, w) b = Conv (images, v) c = Add (a, b) output0 = Conv (c, u)",
        {"w": (4, 3, 1, 1), "v": (4, 3, 1, 1), "u": (4, 4, 1, 1)},
    )

    assert place(model, exclude=("head",)).activations == ("images",)


@pytest.mark.parametrize(
    ("node", "shape", "axis"),
    [
        ("Conv (images, w)", (4, 3, 1, 1), 0),
        ("ConvTranspose (images, w)", (3, 4, 2, 2), 1),
        ("MatMul (images, w)", (16, 4), 1),
        ("Gemm (flat, w)", (768, 4), 1),
        ("Gemm <transB = 1> (flat, w)", (4, 768), 0),
        ("Gemm <transB = 0> (flat, w)", (768, 4), 1),
    ],
)
def test_weights_are_quantized_per_output_channel(
    build: Build, node: str, shape: tuple[int, ...], axis: int
) -> None:
    model = build(f"flat = Flatten (images) output0 = {node}", {"w": shape})

    placement = place(model, exclude=())

    assert placement.weights == (Weight("w", axis),)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        pytest.param("output0 = MatMul (w, images)", (4, 16), id="weights on the left"),
        pytest.param("output0 = MatMul (images, w)", (16,), id="a vector has no channels"),
        pytest.param("output0 = MatMul (images, w)", (3, 16, 4), id="one matrix a channel of the input"),
        pytest.param("output0 = MatMul (images, images)", (1,), id="attention has no weights"),
        pytest.param("output0 = Mul (images, w)", (1,), id="a product by elements"),
    ],
)
def test_where_there_is_no_matrix_of_weights_nothing_is_quantized(
    build: Build, text: str, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ModelError, match="Nothing in the model can be quantized"):
        place(build(text, {"w": shape}), exclude=())


def test_a_model_whose_only_weights_are_excluded_cannot_be_quantized(build: Build) -> None:
    with pytest.raises(ModelError, match="Nothing in the model can be quantized"):
        place(build("output0 = Conv (images, w)", {"w": (4, 3, 1, 1)}), exclude=("head",))


def test_a_weight_that_two_nodes_share_is_stored_once(build: Build) -> None:
    model = build(
        "flat = Flatten <axis = 3> (images) a = MatMul (flat, w) b = Gemm <transB = 1> (a, w) "
        "output0 = Relu (b)",
        {"w": (16, 16)},
    )

    assert place(model, exclude=()).weights == (Weight("w", 1),)


@pytest.mark.parametrize("op", ["QuantizeLinear", "DequantizeLinear"])
def test_a_quantized_model_is_refused(build: Build, op: str) -> None:
    model = build("a = Conv (images, w) output0 = Conv (a, v)", {"w": (4, 3, 1, 1), "v": (4, 4, 1, 1)})
    model.graph.node.add(op_type=op, name="q", input=["a", "scale"], output=["other"])

    with pytest.raises(ModelError, match="quantized already"):
        place(model, exclude=("head",))


def test_a_pattern_that_fits_no_node_is_refused_with_an_example(detector: onnx.ModelProto) -> None:
    with pytest.raises(UsageError, match=r"no node of the model fits '/model\.99/\*'") as caught:
        place(detector, exclude=("head", "/model.99/*"))

    assert "names look like c0" in caught.value.hint


def test_nodes_without_a_name_of_their_own_get_one(build: Build) -> None:
    model = build(
        "a = Conv (images, w) b = Relu (a) c = Relu (b) d = Relu (c) output0 = Conv (d, v)",
        {"w": (4, 3, 1, 1), "v": (4, 4, 1, 1)},
    )
    for node, name in zip(model.graph.node, ["", "Relu_1", "same", "same", "Conv_0"], strict=True):
        node.name = name

    names = [node.name for node in name_nodes(model).graph.node]

    assert names[1:3] == ["Relu_1", "same"]
    assert names[4] == "Conv_0"
    assert len(set(names)) == 5
    assert all(names)


def test_nodes_with_equal_names_are_told_apart(build: Build) -> None:
    model = build("a = Conv (images, w) output0 = Conv (a, v)", {"w": (4, 3, 1, 1), "v": (4, 4, 1, 1)})
    for node in model.graph.node:
        node.name = "conv"

    placement = place(name_nodes(model), exclude=("head",))

    assert (placement.nodes, placement.weights) == (("conv",), (Weight("w", 0),))
    assert [one.node for one in placement.left_out] == ["Conv_0"]
