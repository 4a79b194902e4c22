"""Fragile nodes: found by what they do to real values, and kept with their reasons."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from stages.artifact import Artifact
from stages.export import Export, ExportInputs
from stages.onnx_files import load_onnx
from stages.quantize.graph import Graph, name_nodes
from stages.quantize.half.convert import to_half
from stages.quantize.half.fragile import Fragile, find_fragile
from stages.quantize.half.observe import Observer
from stages.quantize.half.trial import Tolerance
from stages.stage import no_progress
from stages.tensor_types import tensor_types
from targets.errors import DataError, ModelError
from targets.model import InputSpec, ModelSpec, load_model_spec

Build = Callable[..., onnx.ModelProto]
SPEC = ModelSpec(family="toy", class_names=("bolt", "nut"), input=InputSpec(16, 16))
TOLERANCE = Tolerance(boxes_px=0.2, scores=0.01)

# A head as YOLO's behind one convolution; its 64 anchors lie on a grid of `side` cells of 8 pixels.
DETECTOR = """
    c0 = Conv <strides = [2, 2], pads = [1, 1, 1, 1]> (images, w0, b0)
    s0 = Sigmoid (c0)
    a0 = Mul (c0, s0)
    {body}
    box = Conv (a, w_box)
    cls = Conv (a, w_cls, b_cls)
    sides = Reshape (box, sides_shape)
    places = Add (sides, anchors)
    boxes = Mul (places, strides)
    logits = Reshape (cls, logits_shape)
    scores = Sigmoid (logits)
    output0 = Concat <axis = 1> (boxes, scores)
"""
WEIGHTS = {"w0": (8, 3, 3, 3), "b0": (8,), "w_box": (4, 8, 1, 1), "w_cls": (2, 8, 1, 1)}


def pictures(count: int = 3) -> list[np.ndarray]:
    random = np.random.default_rng(1)
    return [random.random((1, 3, 16, 16), np.float32) for _ in range(count)]


@pytest.fixture
def detector(build: Build) -> Build:
    """Give a detector with operators of choice between its convolutions, and anchors up to `side` cells."""

    def make(body: str = "a = Identity (a0)", *, side: float = 8, **constants: object) -> onnx.ModelProto:
        anchors = np.random.default_rng(2).random((1, 4, 64)) * side
        stored = {"b_cls": np.ones(2), "strides": np.array(8.0), "anchors": anchors, **constants}
        arrays = {name: np.array(value, np.float32) for name, value in stored.items()}
        shapes = {"sides_shape": np.array([1, 4, 64]), "logits_shape": np.array([1, 2, 64])}
        text = DETECTOR.format(body=body)
        random = {name: shape for name, shape in WEIGHTS.items() if name not in constants}
        return build(text, random, arrays | shapes, output="float[1, 6, 64] output0")

    return make


@pytest.fixture
def net(build: Build) -> Build:
    """Give a model from the text of its graph and its constants."""

    def make(text: str, constants: dict[str, np.ndarray]) -> onnx.ModelProto:
        return build(text, {}, constants, output="float[1, 3, 16, 16] output0")

    return make


def find(model: onnx.ModelProto, spec: ModelSpec = SPEC, **tolerance: float) -> Fragile:
    return find_fragile(
        model, pictures(), spec, tolerance=replace(TOLERANCE, **tolerance), total=3, progress=no_progress
    )


class TestDecoding:
    def test_boxes_of_640_pixels_stay_float_and_scores_do_not(self, detector: Build) -> None:
        model = detector(side=80)

        found = find(model)

        assert list(found.reasons) == ["places", "boxes", "output0"]
        assert all("in FP16 it alone moves boxes by" in reason for reason in found.reasons.values())
        types = tensor_types(to_half(model, found.reasons.keys()))
        assert types["scores"] == types["logits"] == onnx.TensorProto.FLOAT16
        assert found.gap.boxes_px < 0.05

    def test_without_that_boxes_would_move_by_a_quarter_of_a_pixel(self, detector: Build) -> None:
        found = find(detector(side=80), boxes_px=10)

        assert found.reasons == {}
        assert 0.2 < found.gap.boxes_px < 1

    def test_decoding_may_use_up_half_of_the_tolerance(self, detector: Build) -> None:
        model = detector(side=80)
        off_px = find(model, boxes_px=10).gap.boxes_px

        assert find(model, boxes_px=1.7 * off_px).reasons != {}
        assert find(model, boxes_px=2.3 * off_px).reasons == {}

    def test_boxes_of_64_pixels_are_exact_enough_in_half(self, detector: Build) -> None:
        assert find(detector(side=8)).reasons == {}

    def test_where_nothing_is_detected_all_of_it_stays_float(self, detector: Build) -> None:
        # All scores are equal: an end-to-end head might have given any others.
        model = detector()
        graph = model.graph
        graph.node[-2].op_type, graph.node[-1].input[1] = "Identity", "flat"
        graph.node[-1].input[0] = "rows"
        graph.node.insert(
            len(graph.node) - 1,
            onnx.helper.make_node("Transpose", ["boxes"], ["rows"], "rows", perm=[0, 2, 1]),
        )
        graph.node[-1].attribute[0].i = 2
        graph.initializer.append(numpy_helper.from_array(np.full((1, 64, 2), [0.5, 0], np.float32), "flat"))
        graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("output0", 1, [1, 64, 6]))

        found = find(model, replace(SPEC, output="end2end"))

        assert {"places", "boxes", "rows", "output0"} <= found.reasons.keys()
        assert set(found.reasons.values()) == {
            "decoding; there are too few detections on the pictures to judge it by"
        }

    def test_it_is_judged_by_the_pictures_with_detections_wherever_they_are(self, detector: Build) -> None:
        weights = np.zeros((2, 8, 1, 1))
        weights[:, 1] = 20  # this channel is -0.2 on a dark picture, and up to 0.8 on a bright one
        model = detector(side=80, w_cls=weights, b_cls=[-3, -3])
        bright = [np.ones((1, 3, 16, 16), np.float32)]
        dark = [np.zeros((1, 3, 16, 16), np.float32)] * 6

        found = find_fragile(model, dark + bright, SPEC, tolerance=TOLERANCE, total=7, progress=no_progress)

        assert list(found.reasons) == ["places", "boxes", "output0"]
        assert found.gap.detections <= 64


class TestValues:
    def test_what_overflows_stays_float_on_both_sides(self, detector: Build) -> None:
        found = find(
            detector("b = Mul (a0, k) c = Mul (b, k) d = Mul (c, l) a = Mul (d, l)", k=300, l=1 / 300)
        )

        assert {"c", "d"} <= found.reasons.keys()
        assert "a0" not in found.reasons
        assert "of at most 65504 in FP16" in found.reasons["c"]
        assert found.gap.boxes_px < TOLERANCE.boxes_px

    def test_there_is_room_for_larger_values_than_were_seen(self, detector: Build) -> None:
        found = find(
            detector("b = Sigmoid (a0) c = Mul (b, k) d = Mul (c, l) a = Add (a0, d)", k=45000, l=1e-5)
        )

        assert found.reasons.keys() == {"c", "d"}
        assert all(reason.startswith("values up to") for reason in found.reasons.values())

    def test_large_values_are_followed_through_what_moves_them(self, detector: Build) -> None:
        body = "b = Mul (a0, k) c = Mul (b, k) r = Relu (c) t = Identity (r) d = Mul (t, l) a = Mul (d, l)"

        assert {"c", "r", "t", "d"} <= find(detector(body, k=300, l=1 / 300)).reasons.keys()

    def test_a_constant_beyond_half_keeps_its_reader(self, detector: Build) -> None:
        found = find(detector("b = Max (a0, k) a = Identity (b)", k=-1e6))

        assert found.reasons == {"b": "its constant k reaches 1e+06, beyond FP16"}

    def test_an_epsilon_that_vanishes_keeps_what_divides_by_it(self, detector: Build) -> None:
        body = "r = Relu (a0) b = Add (r, eps) c = Sqrt (b) d = Div (a0, c) a = Clip (d, low, high)"

        found = find(detector(body, eps=1e-8, low=-2, high=2), boxes_px=100, scores=1)

        assert list(found.reasons) == ["b", "c", "d"]
        assert found.reasons["b"] == "its constant is 1e-08, which FP16 takes for 0"

    def test_small_divisors_stay_float(self, detector: Build) -> None:
        body = "r = Sigmoid (a0) b = Mul (r, k) c = Mul (b, k) d = Div (c, c) a = Mul (a0, d)"

        found = find(detector(body, k=1e-3), boxes_px=100, scores=1)

        assert found.reasons.keys() == {"c", "d"}
        assert "where FP16 has few bits left" in found.reasons["c"]

    def test_long_sums_stay_float(self, detector: Build) -> None:
        mean = "c = ReduceMean <axes = [1, 2, 3], keepdims = 1> (b)"
        body = f"b = Mul (a0, k) {mean} d = Mul (c, l) a = Add (a0, d)"

        found = find(detector(body, k=300, l=1e-3))

        assert list(found.reasons) == ["c"]
        assert found.reasons["c"].startswith("sums up to")

    def test_ordinary_models_have_none(self, detector: Build) -> None:
        body = "b = Add (a0, eps) r = Relu (b) m = GlobalAveragePool (r) g = Sigmoid (m) a = Mul (b, g)"

        assert find(detector(body, eps=1e-3)).reasons == {}


def test_extremes_are_those_of_all_pictures(net: Build) -> None:
    model = net(
        "a = Mul (images, k) b = Abs (a) c = Div (k, b) d = Reciprocal (b) "
        "e = ReduceSum <keepdims = 1> (b) output0 = Add (d, e)",
        {"k": np.array(-2, np.float32)},
    )
    observer = Observer(model, ["b"])

    fetched = [observer.look(np.full((1, 3, 16, 16), value, np.float32)) for value in (0.5, 0.125, 3.0)]

    assert [one[0].max() for one in fetched] == [1.0, 0.25, 6.0]
    assert observer.seen.largest["a"] == 6
    assert observer.seen.largest["d"] == 4
    assert observer.seen.smallest == {"b": 0.25}
    assert observer.seen.sums == {"e": 6 * 768}


class TestAccuracy:
    def test_what_cancels_is_found_in_the_body(self, detector: Build) -> None:
        model = detector("b = Add (a0, k) c = Mul (b, l) d = Sub (c, k) a = Mul (d, l)", k=1000, l=1.0)

        found = find(model)

        assert {"b", "c", "d"} & found.reasons.keys()
        assert not {"a0", "box", "boxes"} & found.reasons.keys()
        assert found.gap.boxes_px <= TOLERANCE.boxes_px

    def test_a_tolerance_that_float_alone_meets_leaves_everything_in_float(self, detector: Build) -> None:
        model = detector()

        found = find(model, boxes_px=1e-7, scores=1e-9)

        assert found.gap.boxes_px == 0
        assert {"c0", "a0", "box", "cls", "boxes"} <= found.reasons.keys()


class TestRefusals:
    def test_a_model_that_is_not_finite_in_float_is_refused(self, detector: Build) -> None:
        with pytest.raises(ModelError, match="not finite on a calibration picture"):
            find(detector("b = Mul (a0, k) c = Exp (b) a = Identity (c)", k=1e4))

    def test_no_pictures_are_refused(self, detector: Build) -> None:
        with pytest.raises(DataError, match="no calibration pictures"):
            find_fragile(detector(), [], SPEC, tolerance=TOLERANCE, total=0, progress=no_progress)

    def test_pictures_of_another_size_are_refused(self, detector: Build) -> None:
        small = [np.zeros((1, 3, 8, 8), np.float32)]

        with pytest.raises(ModelError, match="ONNX Runtime cannot run the model"):
            find_fragile(detector(), small, SPEC, tolerance=TOLERANCE, total=1, progress=no_progress)

    def test_a_description_of_another_model_is_refused(self, detector: Build) -> None:
        with pytest.raises(ModelError, match="with 3 classes"):
            find(detector(), replace(SPEC, class_names=("bolt", "nut", "screw")))


class TestWork:
    def test_pictures_are_read_twice_and_progress_reaches_the_end(self, detector: Build) -> None:
        read, told = [], []

        class Pictures:
            def __iter__(self) -> Iterator[np.ndarray]:
                for one in pictures():
                    read.append(1)
                    yield one

        def progress(done: float, total: float, note: str = "") -> None:
            told.append((done, total))

        find_fragile(detector(), Pictures(), SPEC, tolerance=TOLERANCE, total=3, progress=progress)

        assert len(read) == 6
        assert told == [(done, 6) for done in range(6)]

    def test_the_model_is_left_as_it_was(self, detector: Build) -> None:
        model = detector(side=80)
        before = model.SerializeToString()

        find(model)

        assert model.SerializeToString() == before

    def test_dynamic_shapes_are_taken(self, detector: Build) -> None:
        model = detector(side=80)
        for place in (2, 3):
            model.graph.input[0].type.tensor_type.shape.dim[place].dim_param = "side"

        assert list(find(model).reasons) == ["places", "boxes", "output0"]


FAMILIES = ["yolov5n", "yolov8n", "yolov9t", "yolov10n", "yolo11n", "yolo12n", "yolo26n"]


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_halved_with_boxes_in_float(
    family: str, checkpoint_of: Callable[..., Artifact], tmp_path: object
) -> None:
    stage = Export(imgsz=640)
    exported = stage.run(ExportInputs(checkpoint=checkpoint_of(family)), tmp_path, no_progress).onnx  # type: ignore[arg-type]
    model = name_nodes(load_onnx(exported / "model.onnx"))
    images = [np.random.default_rng(0).random((1, 3, 640, 640), np.float32)]

    found = find_fragile(
        model, images, load_model_spec(exported.path), tolerance=TOLERANCE, total=1, progress=no_progress
    )
    made = to_half(model, found.reasons.keys())

    onnx.checker.check_model(made, full_check=True)
    graph = Graph(model)
    assert {graph.named[node].op_type for node in found.reasons} >= {"Sub", "Mul", "Concat"}
    assert not any(graph.named[node].op_type == "MaxPool" for node in found.reasons)
    assert found.gap.boxes_px <= TOLERANCE.boxes_px
    assert sum(node.op_type == "Cast" for node in made.graph.node) <= 9
