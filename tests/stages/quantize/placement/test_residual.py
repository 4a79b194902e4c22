"""Residual: which input of an Add is the shortcut."""

from collections.abc import Callable

import onnx
import pytest

from stages.quantize.graph import Graph
from stages.quantize.placement.residual import find_shortcut

Build = Callable[..., onnx.ModelProto]

CONVOLUTIONS = "c = Conv (x, w) s = Sigmoid (c) a = Mul (c, s) d = Conv (a, v) t = Sigmoid (d) b = Mul (d, t)"
ATTENTION = """
    qkv = Conv (x, w) flat = Reshape (qkv, rows) q = Slice (flat, zero, one, zero)
    turned = Transpose <perm = [1, 0]> (q) product = MatMul (q, turned) share = Softmax (product)
    picked = MatMul (share, q) map = Reshape (picked, sides) b = Conv (map, v)
"""


def shortcut(build: Build, text: str) -> int | None:
    model = build(f"{text} output0 = Relu (sum)", {"w": (3, 3, 1, 1), "v": (3, 3, 1, 1), "k": (1,)})
    graph = Graph(model)
    return find_shortcut(graph, graph.named["sum"])


@pytest.mark.parametrize(
    ("text", "position"),
    [
        pytest.param(f"x = Relu (images) {CONVOLUTIONS} sum = Add (x, b)", 0, id="on the left"),
        pytest.param(f"x = Relu (images) {CONVOLUTIONS} sum = Add (b, x)", 1, id="on the right"),
        pytest.param(f"x = Relu (images) {ATTENTION} sum = Add (b, x)", 1, id="past attention"),
        pytest.param("x = Conv (images, w) b = Conv (x, v) sum = Add (x, b)", 0, id="no activation"),
        pytest.param("b = Conv (images, w) sum = Add (b, images)", 1, id="past the input"),
    ],
)
def test_the_shortcut_is_what_the_other_input_was_computed_from(
    build: Build, text: str, position: int
) -> None:
    assert shortcut(build, text) == position


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("x = Conv (images, w) b = Conv (images, v) sum = Add (x, b)", id="two branches"),
        pytest.param("x = Conv (images, w) sum = Add (x, k)", id="a constant"),
        pytest.param("x = Conv (images, w) sum = Add (x, x)", id="the same twice"),
    ],
)
def test_where_neither_input_came_of_the_other_there_is_none(build: Build, text: str) -> None:
    assert shortcut(build, text) is None


@pytest.mark.parametrize(("nodes", "position"), [(39, 0), (40, 0), (41, None)])
def test_a_branch_is_followed_for_40_nodes(build: Build, nodes: int, position: int | None) -> None:
    steps = [f"r{number + 1} = Relu (r{number})" for number in range(nodes)]

    assert shortcut(build, f"r0 = Relu (images) {' '.join(steps)} sum = Add (r0, r{nodes})") == position
