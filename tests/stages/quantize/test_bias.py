"""Bias correction: after it, rounded weights make no error in the mean."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from stages.quantize.bias import correct_biases
from stages.quantize.calibration.observe import observe
from stages.quantize.calibration.statistics import Statistics
from stages.quantize.insert import insert_qdq
from stages.quantize.placement import Placement, Weight
from stages.stage import no_progress

Build = Callable[..., onnx.ModelProto]
RANDOM = np.random.default_rng(0)
# Of one colour each, so that every tap of a kernel sees the same on average.
IMAGES = np.tile(RANDOM.gamma(2.0, size=(6, 1, 3, 1, 1)), (16, 16)).astype(np.float32)


def placed(*nodes: str, weights: tuple[Weight, ...] = (Weight("w", 0),)) -> Placement:
    """Give a placement in which only weights are rounded."""
    return Placement(nodes=nodes, edges=(), groups=(), weights=weights, left_out=())


def outputs(model: onnx.ModelProto, images: np.ndarray = IMAGES) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    # Else onnxruntime computes DequantizeLinear -> Gemm in INT8 (MatMulNBits), rounding the activation too.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return np.concatenate([session.run(None, {"images": image})[0] for image in images])


def means(model: onnx.ModelProto) -> np.ndarray:
    found = outputs(model)
    return found.mean(axis=tuple(axis for axis in range(found.ndim) if axis != 1))


def statistics(model: onnx.ModelProto, *names: str) -> dict[str, Statistics]:
    return observe(model, names, IMAGES, total=len(IMAGES), progress=no_progress)


def initializer(model: onnx.ModelProto, name: str) -> np.ndarray:
    return next(numpy_helper.to_array(one) for one in model.graph.initializer if one.name == name)


FLATTENED = "x = GlobalAveragePool (images) y = Flatten (x)"


@pytest.mark.parametrize(
    ("text", "shape", "axis"),
    [
        pytest.param("output0 = Conv (images, w, b)", (6, 3, 1, 1), 0, id="pointwise"),
        pytest.param("output0 = Conv (images, w)", (6, 3, 1, 1), 0, id="without a bias"),
        pytest.param('output0 = Conv (images, w, "")', (6, 3, 1, 1), 0, id="with an empty one"),
        pytest.param("output0 = Conv <strides = [4, 4]> (images, w, b)", (6, 3, 4, 4), 0, id="with stride"),
        pytest.param("output0 = Conv <group = 3> (images, w, b)", (6, 1, 3, 3), 0, id="depthwise"),
        pytest.param(
            "output0 = ConvTranspose <strides = [2, 2]> (images, w, b)", (3, 6, 2, 2), 1, id="transposed"
        ),
        pytest.param(
            "output0 = ConvTranspose <strides = [2, 2], group = 3> (images, w, b)",
            (3, 2, 2, 2),
            1,
            id="transposed, in groups",
        ),
        pytest.param(f"{FLATTENED} output0 = Gemm (y, w, b)", (3, 6), 1, id="Gemm"),
        pytest.param(
            f"{FLATTENED} output0 = Gemm <transB = 1, alpha = 0.5, beta = 2.0> (y, w, b)",
            (6, 3),
            0,
            id="Gemm with factors",
        ),
    ],
)
def test_the_mean_of_each_channel_is_as_in_float(
    build: Build, text: str, shape: tuple[int, ...], axis: int
) -> None:
    model = build(text.replace('""', ""), {"w": shape, "b": (6,)}, output="float[n] output0")
    name = model.graph.node[-1].input[0]
    placement = placed("output0", weights=(Weight("w", axis),))

    corrected = correct_biases(model, placement, statistics(model, name))

    rounded, mended = (insert_qdq(one, placement, {}) for one in (model, corrected))
    assert np.abs(means(rounded) - means(model)).max() > 1e-3
    assert means(mended) == pytest.approx(means(model), abs=2e-5)


def test_the_output_comes_nearer_for_pictures_with_something_on_them(build: Build) -> None:
    model = build(
        "c = Conv <pads = [1, 1, 1, 1]> (images, w, b) r = Relu (c) "
        "output0 = Conv <pads = [1, 1, 1, 1]> (r, v, b)",
        {"w": (6, 3, 3, 3), "v": (6, 6, 3, 3), "b": (6,)},
    )
    images = RANDOM.gamma(2.0, size=(6, 1, 3, 16, 16)).astype(np.float32)
    placement = placed("c", "output0", weights=(Weight("w", 0), Weight("v", 0)))
    seen = observe(model, ["images", "r"], images, total=6, progress=no_progress)

    corrected = correct_biases(model, placement, seen, reduced=["w", "v"])

    true = outputs(model, images)
    rounded, mended = (
        outputs(insert_qdq(one, placement, {}, reduced=["w", "v"]), images) for one in (model, corrected)
    )
    assert np.square(mended - true).mean() < 0.7 * np.square(rounded - true).mean()


def test_weights_of_seven_bits_are_corrected_for_what_they_are(build: Build) -> None:
    model = build("output0 = Conv (images, w, b)", {"w": (6, 3, 1, 1), "b": (6,)})
    seen = statistics(model, "images")

    corrected = correct_biases(model, placed("output0"), seen, reduced=["w"])

    mended = insert_qdq(corrected, placed("output0"), {}, reduced=["w"])
    assert means(mended) == pytest.approx(means(model), abs=2e-5)


def test_a_bias_that_two_nodes_read_is_corrected_for_each(build: Build) -> None:
    model = build(
        "m = Neg (images) c = Conv (images, w, b) d = Conv (m, w, b) output0 = Concat <axis = 1> (c, d)",
        {"w": (6, 3, 1, 1), "b": (6,)},
        output="float[1, 12, 16, 16] output0",
    )

    corrected = correct_biases(model, placed("c", "d"), statistics(model, "images", "m"))

    mended = insert_qdq(corrected, placed("c", "d"), {})
    assert means(mended) == pytest.approx(means(model), abs=2e-5)


def test_only_what_is_placed_is_corrected(build: Build) -> None:
    model = build(
        "c = Conv (images, w, b) output0 = Conv (c, v, d)",
        {"w": (6, 3, 1, 1), "b": (6,), "v": (6, 6, 1, 1), "d": (6,)},
    )
    seen = statistics(model, "images", "c")

    corrected = correct_biases(model, placed("c"), seen)

    assert (initializer(corrected, "b") != initializer(model, "b")).any()
    assert (initializer(corrected, "d") == initializer(model, "d")).all()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("g = Neg (b) output0 = Conv (images, w, g)", id="a bias that is computed"),
        pytest.param("x = Neg (images) output0 = Conv (x, w, b)", id="an input that nobody looked at"),
        pytest.param("output0 = Gemm <beta = 0.0> (y, w, b)", id="a bias that does not count"),
        pytest.param("output0 = MatMul (y, w)", id="no place for a bias"),
    ],
)
def test_what_cannot_be_corrected_is_left_as_it_is(build: Build, text: str) -> None:
    flat = "(y" in text
    model = build(f"{FLATTENED} {text}" if flat else text, {"w": (3, 6) if flat else (6, 3, 1, 1), "b": (6,)})
    seen = statistics(model, "images", *(["y"] if flat else []))
    placement = placed("output0", weights=(Weight("w", int(flat)),))

    assert correct_biases(model, placement, seen) == model


def test_without_means_nothing_is_corrected(build: Build) -> None:
    model = build("output0 = Conv (images, w, b)", {"w": (6, 3, 1, 1), "b": (6,)})
    seen = {"images": replace(statistics(model, "images")["images"], means=np.zeros(0))}

    assert correct_biases(model, placed("output0"), seen) == model


def test_the_model_given_is_left_as_it_is(build: Build) -> None:
    model = build("output0 = Conv (images, w, b)", {"w": (6, 3, 1, 1), "b": (6,)})
    before = model.SerializeToString()

    correct_biases(model, placed("output0"), statistics(model, "images"))

    assert model.SerializeToString() == before
