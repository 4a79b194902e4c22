"""Graph: walking both ways, and what is known of tensors."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from stages.quantize.graph import Graph, attribute, name_nodes
from targets.errors import ModelError

Build = Callable[..., onnx.ModelProto]

TWO = "a = Conv <strides = [2, 2]> (images, w) b = Relu (a) c = Sigmoid (a) output0 = Mul (b, c)"


@pytest.fixture
def two(build: Build) -> Graph:
    return Graph(build(TWO, {"w": (4, 3, 2, 2)}, output="float[1, 4, 8, 8] output0"))


def test_one_can_walk_in_both_directions(two: Graph) -> None:
    assert [node.name for node in two.after(two.named["a"])] == ["b", "c"]
    assert [node.name for node in two.before(two.named["output0"])] == ["b", "c"]
    assert two.before(two.named["a"]) == []
    assert two.makers["b"].name == "b"
    assert [(node.name, position) for node, position in two.readers["b"]] == [("output0", 0)]


def test_inputs_and_outputs_are_told_from_weights(build: Build) -> None:
    model = build(TWO, {"w": (4, 3, 2, 2)})
    model.graph.input.append(onnx.helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [4, 3, 2, 2]))

    graph = Graph(model)

    assert graph.sources == ["images"]
    assert graph.outputs == ["output0"]
    assert list(graph.weights) == ["w"]


def test_shapes_are_inferred(two: Graph) -> None:
    assert two.shape_of("images") == (1, 3, 16, 16)
    assert two.shape_of("a") == two.shape_of("c") == (1, 4, 8, 8)


def test_a_shape_with_an_open_side_is_refused(build: Build) -> None:
    graph = Graph(build(TWO, {"w": (4, 3, 2, 2)}, source="float[n, 3, 16, 16] images"))

    with pytest.raises(ModelError, match="The shape of 'a' is not known") as caught:
        graph.shape_of("a")

    assert "fixed shapes" in caught.value.hint


def test_floats_are_the_tensors_of_fp32(build: Build) -> None:
    graph = Graph(build("a = Relu (images) b = Shape (a) output0 = Reshape (a, b)", {}))

    assert graph.floats == {"images", "a", "output0"}


def test_constants_are_initializers_and_constant_nodes(build: Build) -> None:
    graph = Graph(
        build(
            "k = Constant <value = float[2] {1, 2}> () t = Constant <value_float = 3.0> () "
            "a = Mul (images, t) output0 = Mul (a, k)",
            {},
            {"w": np.array([4.0], np.float32)},
        )
    )

    assert graph.constant("k").tolist() == [1, 2]
    assert graph.constant("w").tolist() == [4]
    assert graph.constant("a") is None
    assert graph.constant("images") is None


def test_an_attribute_that_is_not_there_has_the_default(two: Graph) -> None:
    assert attribute(two.named["a"], "strides") == [2, 2]
    assert attribute(two.named["a"], "group", 1) == 1


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
