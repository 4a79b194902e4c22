"""Tensors: what is looked at, and what follows from it."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from stages.quantize.calibration.observe import observe
from stages.quantize.calibration.tensors import Derived, derive, find_tensors
from stages.quantize.graph import Graph
from stages.quantize.placement import place
from stages.stage import no_progress

Build = Callable[..., onnx.ModelProto]
FLAT = "float[1, 4, 16, 16] output0"


def found(model: onnx.ModelProto) -> list[str]:
    return list(find_tensors(Graph(model)))


def test_the_inside_of_an_activation_is_not_looked_at(detector: onnx.ModelProto) -> None:
    assert found(detector) == [
        "images", "a0", "a1", "box", "cls", "bins", "turned", "shares", "dfl", "sides", "boxes", "logits",
        "scores", "output0",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("c = Conv (images, w) output0 = Relu (c)", ["images", "output0"], id="ReLU"),
        pytest.param(
            "c = Conv (images, w) r = Relu (c) output0 = Add (r, c)",
            ["images", "c", "r", "output0"],
            id="what another node reads is looked at",
        ),
        pytest.param(
            "m = Mul (images, images) output0 = Relu (m)",
            ["images", "m", "output0"],
            id="after no convolution",
        ),
        pytest.param(
            "c = Conv (images, w) s = Sigmoid (c) m = Mul (s, c) output0 = Add (m, s)",
            ["images", "c", "s", "m", "output0"],
            id="a Sigmoid that is read twice",
        ),
        pytest.param(
            "c = Conv (images, w) s = Sigmoid (c) m = Mul (s, c) output0 = Add (m, c)",
            ["images", "c", "m", "output0"],
            id="a shortcut from inside SiLU",
        ),
        pytest.param(
            "c = Conv (images, w) s = Sigmoid (c) output0 = Mul (s, images)",
            ["images", "c", "s", "output0"],
            id="a gate",
        ),
        pytest.param(
            "one = Constant <value_float = 1.0> () shape = Shape (images) "
            "zero = ConstantOfShape (shape) two = Add (one, zero) output0 = Add (images, two)",
            ["images", "output0"],
            id="what follows from constants and shapes only",
        ),
    ],
)
def test_what_is_looked_at(build: Build, text: str, expected: list[str]) -> None:
    assert found(build(text, {"w": (4, 3, 1, 1)})) == expected


@pytest.mark.parametrize("exclude", [("head",), ()], ids=["the head in float", "all of it"])
def test_all_that_is_placed_was_looked_at(detector: onnx.ModelProto, exclude: tuple[str, ...]) -> None:
    placed = place(detector, exclude=exclude).activations

    assert set(placed) <= set(found(detector))


# A tensor of each kind that is not looked at itself, and the tensors that it is made of.
DERIVED = """
    a = Conv <pads = [1, 1, 1, 1]> (images, w_a)
    first, second = Split <axis = 1> (a)
    b = Conv <pads = [1, 1, 1, 1]> (second, w_b)
    both = Concat <axis = 1> (first, b)
    small = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (both)
    large = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric"> (small, , scales)
    joined = Concat <axis = 1> (large, a)
    c = Conv (joined, w_c)
    turned = Transpose <perm = [0, 2, 3, 1]> (c)
    side = Concat <axis = 2> (turned, turned)
    output0 = Reshape (side, flat)
"""


@pytest.fixture
def branched(build: Build) -> onnx.ModelProto:
    weights = {"w_a": (4, 3, 3, 3), "w_b": (2, 2, 3, 3), "w_c": (4, 8, 1, 1)}
    constants = {"scales": np.array([1, 1, 2, 2], np.float32), "flat": np.array([1, -1])}
    return build(DERIVED, weights, constants, output="float[1, 2048] output0")


def test_what_holds_the_values_of_others_is_derived(branched: onnx.ModelProto) -> None:
    graph = Graph(branched)

    assert derive(graph, find_tensors(graph)) == {
        "a": Derived(("first", "second"), stacked=True),
        "both": Derived(("first", "b"), stacked=True),
        "large": Derived(("small",), times=4, stacked=True),
        "joined": Derived(("large", "a"), stacked=True),
        "turned": Derived(("c",)),
        "side": Derived(("turned", "turned")),
        "output0": Derived(("side",)),
    }


def test_what_is_derived_is_as_if_it_had_been_looked_at(branched: onnx.ModelProto) -> None:
    graph = Graph(branched)
    images = np.random.default_rng(0).random((3, 1, 3, 16, 16), np.float32)
    names = find_tensors(graph)

    all_at_once = observe(branched, names, images, total=3, progress=no_progress)

    for name in derive(graph, names):
        alone = observe(branched, [name], images, total=3, progress=no_progress)[name]
        assert (all_at_once[name].counts == alone.counts).all(), name
        assert all_at_once[name].count == alone.count, name
        assert (all_at_once[name].low, all_at_once[name].high) == (alone.low, alone.high), name
        if len(all_at_once[name].means):
            assert all_at_once[name].means == pytest.approx(alone.means, rel=1e-5), name


def test_what_a_convolution_reads_has_means(build: Build) -> None:
    model = build(
        "r = Reshape (images, shape) t = Transpose <perm = [0, 1, 3, 2]> (r) "
        "both = Concat <axis = 1> (t, t) output0 = Conv (both, w)",
        {"w": (4, 6, 1, 1)},
        {"shape": np.array([1, 3, 8, 32])},
        output="float[1, 4, 32, 8] output0",
    )
    images = np.random.default_rng(0).random((2, 1, 3, 16, 16), np.float32)

    statistics = observe(model, ["images", "r", "t", "both"], images, total=2, progress=no_progress)

    assert derive(Graph(model), ["images", "r", "t", "both"]).keys() == {"r", "t"}
    assert statistics["both"].means == pytest.approx(np.tile(images.mean(axis=(0, 1, 3, 4)), 2), rel=1e-5)


@pytest.mark.parametrize(
    "resize",
    [
        pytest.param('<mode = "linear"> (images, , scales)', id="between values"),
        pytest.param('<mode = "nearest"> (images, , uneven)', id="not each value as often"),
        pytest.param(
            '<mode = "nearest", coordinate_transformation_mode = "align_corners"> (images, , scales)',
            id="aligned corners",
        ),
    ],
)
def test_only_a_resize_that_repeats_values_is_derived(build: Build, resize: str) -> None:
    scales = {"scales": np.array([1, 1, 2, 2], np.float32), "uneven": np.array([1, 1, 1.5, 1], np.float32)}
    graph = Graph(build(f"output0 = Resize {resize}", {}, scales))

    assert derive(graph, find_tensors(graph)) == {}


def test_what_is_made_of_something_unwanted_is_looked_at_itself(branched: onnx.ModelProto) -> None:
    assert derive(Graph(branched), ["images", "first", "both"]) == {}
