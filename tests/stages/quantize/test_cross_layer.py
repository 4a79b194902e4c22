"""Cross-layer equalization: nothing changes in float, and less is lost in INT8."""

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from stages.quantize.cross_layer import equalize

Build = Callable[..., onnx.ModelProto]
IMAGES = np.random.default_rng(0).random((1, 3, 16, 16), np.float32)
PAIR = "c = Conv <pads = [1, 1, 1, 1]> (images, w, b) {between} output0 = Conv (x, v, d)"
SHAPES = {"w": (6, 3, 3, 3), "b": (6,), "v": (4, 6, 1, 1), "d": (4,), "slope": (6, 1, 1)}
BETWEEN = {
    "ReLU": "x = Relu (c)",
    "LeakyReLU": "x = LeakyRelu <alpha = 0.1> (c)",
    "PReLU": "x = PRelu (c, slope)",
}


def output(model: onnx.ModelProto) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {"images": IMAGES})[0])


def weight(model: onnx.ModelProto, name: str) -> np.ndarray:
    return next(numpy_helper.to_array(one) for one in model.graph.initializer if one.name == name)


def scale_channels(model: onnx.ModelProto, name: str, factors: np.ndarray) -> None:
    """Multiply an initializer along its first axis, in place."""
    for one in model.graph.initializer:
        if one.name == name:
            values = numpy_helper.to_array(one)
            scaled = values * factors.astype(np.float32).reshape(-1, *[1] * (values.ndim - 1))
            one.CopyFrom(numpy_helper.from_array(scaled, name))


@pytest.mark.parametrize("between", BETWEEN.values(), ids=BETWEEN)
@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(exponents=st.lists(st.floats(-3, 3), min_size=6, max_size=6))
def test_in_float_the_output_stays_the_same(build: Build, between: str, exponents: list[float]) -> None:
    model = build(PAIR.format(between=between), SHAPES)
    for name in ("w", "b"):
        scale_channels(model, name, 10 ** np.array(exponents))

    equalized, pairs = equalize(model)

    assert pairs == 1
    expected = output(model)
    assert np.abs(output(equalized) - expected).max() <= 1e-5 * np.abs(expected).max()


def test_each_channel_has_the_same_largest_weight_on_both_sides(build: Build) -> None:
    model = build(PAIR.format(between="x = Relu (c)"), SHAPES)

    equalized, _ = equalize(model)

    made = np.abs(weight(equalized, "w")).max(axis=(1, 2, 3))
    used = np.abs(weight(equalized, "v")).max(axis=(0, 2, 3))
    assert made == pytest.approx(used, rel=1e-5)


CHAIN = """
    c = Conv (images, w, b)
    x = Relu (c)
    e = Conv <group = 6, pads = [1, 1, 1, 1]> (x, u)
    y = Relu (e)
    f = Conv <group = 2> (y, v)
    output0 = Conv (f, z)
"""
CHAIN_SHAPES = {"w": (6, 3, 1, 1), "b": (6,), "u": (6, 1, 3, 3), "v": (4, 3, 1, 1), "z": (2, 4, 1, 1)}


def test_a_chain_settles_depthwise_and_grouped_convolutions_too(build: Build) -> None:
    model = build(CHAIN, CHAIN_SHAPES)
    scale_channels(model, "w", np.geomspace(0.01, 100, 6))

    equalized, pairs = equalize(model)

    assert pairs == 3
    made = np.abs(weight(equalized, "u")).max(axis=(1, 2, 3))
    used = np.abs(weight(equalized, "v")).reshape(2, 2, 3).max(axis=1).ravel()
    assert made == pytest.approx(used, rel=0.01)
    assert output(equalized) == pytest.approx(output(model), rel=1e-4, abs=1e-5)


def test_less_is_lost_on_a_grid_for_the_whole_tensor(build: Build) -> None:
    model = build(PAIR.format(between="x = Relu (c)"), SHAPES)
    factors = np.geomspace(0.01, 10, 6)
    scale_channels(model, "w", factors)
    scale_channels(model, "b", factors)
    for one in model.graph.initializer:  # as training does: what is small is used with large weights
        if one.name == "v":
            scaled = numpy_helper.to_array(one) / factors.astype(np.float32).reshape(1, 6, 1, 1)
            one.CopyFrom(numpy_helper.from_array(scaled, "v"))

    def error(candidate: onnx.ModelProto) -> float:
        candidate.graph.output.append(onnx.ValueInfoProto(name="x"))
        session = onnxruntime.InferenceSession(
            candidate.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        (between,) = session.run(["x"], {"images": IMAGES})
        step = between.max() / 127
        noise = np.rint(between / step) * step - between
        mixed = np.einsum("oi,bihw->bohw", weight(candidate, "v")[:, :, 0, 0], noise)
        return float(np.square(mixed).mean())

    equalized, _ = equalize(model)

    assert error(equalized) < 0.1 * error(model)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(PAIR.format(between="s = Sigmoid (c) x = Mul (c, s)"), id="SiLU"),
        pytest.param(PAIR.format(between="x = Clip (c, low, high)"), id="ReLU6"),
        pytest.param(
            "c = Conv (images, w, b) x = Relu (c) y = Conv (x, v, d) z = Conv (x, v, d) "
            "output0 = Concat <axis = 1> (y, z)",
            id="two readers",
        ),
        pytest.param("c = Conv (images, w, b) x = Relu (c) output0 = Conv (x, k, d)", id="computed weights"),
        pytest.param("g = Neg (b) c = Conv (images, w, g) output0 = Conv (c, v, d)", id="a computed bias"),
        pytest.param(
            "c = Conv (images, w, b) x = Relu (c) m = Conv (images, w) output0 = Conv (x, v, d)",
            id="weights that another node reads",
        ),
        pytest.param("c = Conv (images, w, b) output0 = MaxPool <kernel_shape = [2, 2]> (c)", id="no second"),
    ],
)
def test_what_cannot_be_equalized_is_left_as_it_is(build: Build, text: str) -> None:
    model = build(
        text.replace("(x, k, d)", "(x, k, d)"), SHAPES, {"low": np.float32(0), "high": np.float32(6)}
    )
    if "(x, k, d)" in text:
        model.graph.node.insert(0, helper.make_node("Neg", ["v"], ["k"], "k"))

    equalized, pairs = equalize(model)

    assert (pairs, equalized) == (0, model)


def test_a_graph_output_between_two_convolutions_keeps_its_values(build: Build) -> None:
    model = build(PAIR.format(between="x = Relu (c)"), SHAPES)
    model.graph.output.append(onnx.ValueInfoProto(name="x"))

    assert equalize(model) == (model, 0)


def test_what_a_branch_reads_keeps_its_values(build: Build) -> None:
    model = build(
        "c = Conv (images, w, b) output0 = Conv (c, v, d) yes = ReduceMax (output0) no = ReduceMin (output0)",
        SHAPES,
    )
    bodies = [
        helper.make_graph(
            [helper.make_node("ReduceMax", ["c"], [name])],
            name,
            [],
            [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 1, 1, 1])],
        )
        for name in ("t", "e")
    ]
    condition = helper.make_node("Cast", ["yes"], ["which"], "which", to=onnx.TensorProto.BOOL)
    branch = helper.make_node(
        "If", ["which"], ["found"], "found", then_branch=bodies[0], else_branch=bodies[1]
    )
    model.graph.node.extend([condition, branch])

    assert equalize(model) == (model, 0)


def test_a_channel_without_weights_is_left_as_it_is(build: Build) -> None:
    model = build(PAIR.format(between="x = Relu (c)"), SHAPES)
    scale_channels(model, "w", np.array([0, 1, 1, 1, 1, 1]))

    equalized, _ = equalize(model)

    assert weight(equalized, "b")[0] == weight(model, "b")[0]
    assert np.isfinite(output(equalized)).all()
