"""Observation: a model is looked at while it runs."""

import threading
import tracemalloc
from collections.abc import Callable, Iterator

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from stages.quantize.calibration.observe import NotFiniteError, observe
from stages.quantize.calibration.tensors import find_tensors
from stages.quantize.graph import Graph
from stages.stage import no_progress
from targets.errors import DataError, ModelError

Build = Callable[..., onnx.ModelProto]
IMAGES = np.random.default_rng(0).random((4, 1, 3, 16, 16), np.float32)


def test_every_tensor_is_seen_on_all_pictures(detector: onnx.ModelProto) -> None:
    names = find_tensors(Graph(detector))
    told: list[tuple[float, float]] = []

    statistics = observe(
        detector, names, IMAGES, total=4, progress=lambda done, total, note="": told.append((done, total))
    )

    assert list(statistics) == list(names)
    assert (statistics["images"].low, statistics["images"].high) == (IMAGES.min(), IMAGES.max())
    assert statistics["images"].means == pytest.approx(IMAGES.mean(axis=(0, 1, 3, 4)), rel=1e-5)
    assert statistics["a0"].count == 4 * 8 * 8 * 8
    assert told == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


def test_what_is_seen_is_what_the_model_computes(detector: onnx.ModelProto) -> None:
    reference = ReferenceEvaluator(detector)
    outputs = np.stack([reference.run(["output0"], {"images": image})[0] for image in IMAGES])

    seen = observe(detector, ["output0"], IMAGES, total=4, progress=no_progress)["output0"]

    assert (seen.low, seen.high) == pytest.approx((outputs.min(), outputs.max()), rel=1e-5)
    expected, _ = np.histogram(outputs, seen.edges)
    assert np.abs(seen.counts - expected).sum() <= 4  # in another order of adding, a value may change its bin


def test_the_input_alone_can_be_looked_at(detector: onnx.ModelProto) -> None:
    assert list(observe(detector, ["images"], IMAGES, total=4, progress=no_progress)) == ["images"]


def test_the_model_is_left_as_it_is(detector: onnx.ModelProto) -> None:
    before = detector.SerializeToString()

    observe(detector, ["a0"], IMAGES, total=4, progress=no_progress)

    assert detector.SerializeToString() == before


def test_no_more_than_two_pictures_are_read_ahead(build: Build) -> None:
    seen = threading.Semaphore(0)

    def images() -> Iterator[np.ndarray]:
        for number, image in enumerate(IMAGES):
            if number > 2:
                assert seen.acquire(timeout=10)  # of all before it
            yield image

    def progress(done: float, total: float, note: str = "") -> None:
        seen.release()

    observe(build("output0 = Relu (images)", {}), ["output0"], images(), total=4, progress=progress)


def test_memory_does_not_grow_with_the_number_of_pictures(build: Build) -> None:
    model = build(
        "a = Relu (images) output0 = MaxPool <kernel_shape = [2, 2]> (a)",
        {},
        source="float[1, 3, 128, 128] images",
        output="float[1, 3, 127, 127] output0",
    )

    def peak(total: int) -> int:
        images = (np.full((1, 3, 128, 128), number, np.float32) for number in range(total))
        tracemalloc.start()
        observe(model, ["images", "a", "output0"], images, total=total, progress=no_progress)
        (_, found), _ = tracemalloc.get_traced_memory(), tracemalloc.stop()
        return found

    peak(1)  # the first run imports

    assert peak(60) < 1.2 * peak(10)


def test_side_and_batch_may_be_left_open(build: Build) -> None:
    model = build(
        "output0 = Relu (images)", {}, source="float[n, 3, h, w] images", output="float[n, 3, h, w] output0"
    )

    seen = observe(model, ["images", "output0"], IMAGES, total=4, progress=no_progress)

    assert seen["output0"].count == IMAGES.size


@pytest.mark.parametrize(
    ("text", "tensor", "node"),
    [
        pytest.param("a = Sqrt (images) output0 = Relu (a)", "a", "a", id="in what is looked at"),
        pytest.param("a = Conv (images, w) s = Sqrt (a) output0 = Neg (s)", "s", "s", id="further up"),
        pytest.param(
            "z = Sub (images, images) c = Conv (z, w) l = Log (c) s = Sigmoid (l) output0 = Mul (l, s)",
            "l",
            "l",
            id="inside an activation",
        ),
    ],
)
def test_the_first_node_that_is_not_finite_is_named(build: Build, text: str, tensor: str, node: str) -> None:
    model = build(text, {"w": (1, 3, 1, 1)}, output="float[n, c, h, w] output0")
    images = np.abs(IMAGES)
    images[2] *= -1

    with pytest.raises(
        NotFiniteError, match=f"Tensor {tensor} is not finite on picture .*, and {node} is the first"
    ) as caught:
        observe(model, ["output0"], images, total=4, progress=no_progress)

    assert caught.value.hint


def test_an_input_that_is_not_finite_is_told_as_such(build: Build) -> None:
    images = IMAGES.copy()
    images[1, 0, 0, 0, 0] = np.nan

    with pytest.raises(NotFiniteError, match=r"Tensor images is not finite on picture 2\.") as caught:
        observe(build("output0 = Relu (images)", {}), ["images"], images, total=4, progress=no_progress)

    assert (caught.value.picture, caught.value.node) == (1, "")


def test_without_pictures_there_is_nothing_to_see(detector: onnx.ModelProto) -> None:
    with pytest.raises(DataError, match="no calibration pictures"):
        observe(detector, ["a0"], [], total=0, progress=no_progress)


def test_what_goes_wrong_with_a_picture_comes_through(detector: onnx.ModelProto) -> None:
    def images() -> Iterator[np.ndarray]:
        yield IMAGES[0]
        raise DataError("cannot be read", hint="Look.")

    with pytest.raises(DataError, match="cannot be read"):
        observe(detector, ["a0"], images(), total=2, progress=no_progress)


def test_a_picture_of_another_size_is_refused(detector: onnx.ModelProto) -> None:
    with pytest.raises(ModelError, match="cannot run the model"):
        observe(detector, ["a0"], np.zeros((1, 1, 3, 8, 8), np.float32), total=1, progress=no_progress)


def test_a_second_input_is_refused(detector: onnx.ModelProto) -> None:
    detector.graph.input.append(helper.make_tensor_value_info("more", onnx.TensorProto.FLOAT, [1]))

    with pytest.raises(ModelError, match="has 2 inputs"):
        observe(detector, ["a0"], IMAGES, total=4, progress=no_progress)


def test_a_tensor_that_is_always_empty_has_no_statistics(build: Build) -> None:
    model = build(
        "nothing = Slice (images, zero, zero) both = Concat <axis = 0> (nothing, images) "
        "output0 = Relu (both)",
        {},
        {"zero": np.array([0])},
        output="float[n, 3, 16, 16] output0",
    )

    seen = observe(model, ["images", "nothing", "both"], IMAGES, total=4, progress=no_progress)

    assert list(seen) == ["images", "both"]
    assert seen["both"].count == IMAGES.size
