"""Head: where the last convolutions end and decoding begins."""

from collections.abc import Callable

import onnx
import pytest

from stages.quantize.graph import Graph
from stages.quantize.placement.head import Head, channel_axis, find_head, is_weighted

Build = Callable[..., onnx.ModelProto]

# TopK picks the best of the encoder's cells; a decoder layer looks at those, and at all cells.
DETR = """
    memory = Conv (images, w0)
    rows = Reshape (memory, rows_shape)
    scores = MatMul (rows, w_score)
    best, places = TopK <axis = 0> (scores, k)
    chosen = Gather (rows, places)
    hidden = MatMul (chosen, w_hidden)
    values = MatMul (rows, w_values)
    seen = MatMul (hidden, values)
    output0 = MatMul (seen, w_box)
"""


def test_the_head_is_what_lies_behind_the_last_weights_dfl_included(detector: onnx.ModelProto) -> None:
    head = find_head(Graph(detector))

    assert head == Head(
        outputs=frozenset({"box", "cls"}),
        decoding=frozenset(
            {"bins", "turned", "shares", "dfl", "sides", "boxes", "logits", "scores", "output0"}
        ),
        queries=frozenset(),
    )


def test_a_convolution_behind_an_ordinary_activation_is_no_dfl(build: Build) -> None:
    shapes = {"w": (4, 3, 1, 1), "v": (4, 4, 1, 1)}
    model = build("a = Conv (images, w) b = Sigmoid (a) output0 = Conv (b, v)", shapes)

    assert find_head(Graph(model)) == Head(outputs=frozenset({"output0"}), decoding=frozenset())


def test_what_works_on_chosen_candidates_is_neither_decoding_nor_an_output(build: Build) -> None:
    squares = dict.fromkeys(("w_score", "w_hidden", "w_values", "w_box"), (4, 4))

    head = find_head(Graph(build(DETR, {"w0": (4, 3, 1, 1), **squares})))

    assert head == Head(
        outputs=frozenset({"scores"}),
        decoding=frozenset(),
        queries=frozenset({"best", "chosen", "hidden", "seen", "output0"}),
    )


def test_a_choice_at_the_very_end_is_decoding(build: Build) -> None:
    model = build(
        "a = Conv (images, w) rows = Reshape (a, rows_shape) output0, places = TopK (rows, k)",
        {"w": (4, 3, 1, 1)},
    )

    head = find_head(Graph(model))

    assert head.outputs == {"a"}
    assert head.decoding == {"rows", "output0"}
    assert head.queries == frozenset()


@pytest.mark.parametrize(
    ("node", "shape", "weighted"),
    [
        ("Conv (images, w)", (4, 3, 1, 1), True),
        ("ConvTranspose (images, w)", (3, 4, 2, 2), True),
        ("MatMul (images, w)", (16, 4), True),
        ("MatMul (images, w)", (16,), False),
        ("MatMul (images, w)", (3, 16, 4), False),
        ("MatMul (w, images)", (4, 16), False),
        ("Gemm (images, w)", (16, 4), True),
        ("Mul (images, w)", (1,), False),
        ("Conv (images, other)", (4, 3, 1, 1), False),
    ],
)
def test_weighted_is_what_multiplies_with_a_stored_matrix(
    build: Build, node: str, shape: tuple[int, ...], weighted: bool
) -> None:
    graph = Graph(build(f"output0 = {node}", {"w": shape}))

    assert is_weighted(graph.named["output0"], graph.weights) == weighted


@pytest.mark.parametrize(
    ("node", "axis"),
    [
        ("Conv", 0),
        ("ConvTranspose", 1),
        ("MatMul", 1),
        ("Gemm", 1),
        ("Gemm <transB = 0>", 1),
        ("Gemm <transB = 1>", 0),
    ],
)
def test_output_channels_have_their_axis_in_the_weight(build: Build, node: str, axis: int) -> None:
    graph = Graph(build(f"output0 = {node} (images, w)", {"w": (4, 4)}))

    assert channel_axis(graph.named["output0"]) == axis
