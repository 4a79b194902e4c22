"""Training for INT8: Ultralytics' quantization-aware training, in our trainer, into our Q/DQ graph."""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from stages.artifact import Artifact
from stages.checkpoint import load_module
from stages.export import Export, ExportInputs
from stages.learned import Learned, load_learned
from stages.quantize import Quantize, Quantized, QuantizeInputs
from stages.quantize.calibration import Calibrate, CalibrateInputs
from stages.stage import no_progress
from stages.train import Train, Trained, TrainInputs, qat
from targets.errors import DataError, EdgeboundError
from targets.profile import Dialect

pytestmark = pytest.mark.slow  # they load torch and ModelOpt, and train

Drawn = tuple[Artifact, Artifact]
SYMMETRIC = Dialect()


def train(drawn: Drawn, weights: Artifact, out: Path, *, stop_at: float = 1e9, **settings) -> Trained:
    def progress(done: float, total: float, note: str = "") -> None:
        if done > stop_at:
            raise KeyboardInterrupt

    out.mkdir(parents=True, exist_ok=True)
    teacher = settings.pop("teacher", None)
    stage = Train(imgsz=64, batch=4, device="cpu", optimizer="AdamW", lr0=1e-3, steps=3, **settings)
    inputs = TrainInputs(index=drawn[0], pictures=drawn[1], weights=weights, teacher=teacher)
    return stage.run(inputs, out, progress)


@pytest.fixture(scope="module")
def float_one(checkpoint_of: Callable[..., Artifact], small_yaml: Callable[..., str]) -> Artifact:
    return checkpoint_of("small-qat", small_yaml().replace("nn.Identity, []", "SPPF, [16, 5]"))


@pytest.fixture(scope="module")
def taught(drawn: Drawn, float_one: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("taught")
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        trained = train(drawn, float_one, folder, int8=True, teacher=float_one)
    assert said.getvalue() == ""  # stdout is for --json
    return trained


@pytest.fixture(scope="module")
def learned(taught: Trained) -> Learned:
    assert taught.ranges is not None
    return load_learned(taught.ranges)


@pytest.fixture(scope="module")
def exported(taught: Trained, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    inputs = ExportInputs(checkpoint=taught.checkpoint)
    return Export().run(inputs, tmp_path_factory.mktemp("export"), no_progress).onnx


def quantized(
    exported: Artifact, drawn: Drawn, out: Path, *, ranges: Artifact | None, dialect: Dialect = SYMMETRIC
) -> Quantized:
    for name in ("calibration", "int8"):
        (out / name).mkdir()
    seen = CalibrateInputs(onnx=exported, index=drawn[0], pictures=drawn[1])
    statistics = Calibrate().run(seen, out / "calibration", no_progress).statistics
    inputs = QuantizeInputs(
        onnx=exported,
        statistics=statistics,
        index=drawn[0],
        pictures=drawn[1],
        dialect=dialect,
        runtime="onnxruntime",
        ranges=ranges,
    )
    return Quantize().run(inputs, out / "int8", no_progress)


def scales_of(folder: Artifact) -> dict[str, np.ndarray]:
    """Give the scales by the tensor that they are of."""
    graph = onnx.load(folder / "model.onnx").graph
    values = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    return {name.removesuffix("_scale"): one for name, one in values.items() if name.endswith("_scale")}


def test_the_trained_model_is_a_plain_one_with_ranges_beside_it(
    taught: Trained, float_one: Artifact, learned: Learned
) -> None:
    before, after = load_module(float_one), load_module(taught.checkpoint)

    assert before.state_dict().keys() == after.state_dict().keys()
    assert [type(part) for part in before.modules()] == [type(part) for part in after.modules()]
    assert not torch.equal(before.model[0].conv.weight, after.model[0].conv.weight)
    assert {"model.0.conv", "model.2.m.0.cv1.conv"} <= learned.keys()
    assert len(learned["model.0.conv"].weights) == 8
    assert not [name for name in learned if name.startswith("model.6.cv2.0.2")]  # the head's outputs


def test_ranges_of_weights_are_those_of_the_exported_weights(exported: Artifact, learned: Learned) -> None:
    """Three small steps hardly move weights, so that ranges of the first are near the largest of the last."""
    graph = onnx.load(exported / "model.onnx").graph
    weights = {one.name: numpy_helper.to_array(one) for one in graph.initializer}

    for name, layer in learned.items():
        largest = np.abs(weights[f"{name}.weight"]).max(axis=(1, 2, 3))
        assert np.allclose(largest, layer.weights, rtol=0.1), name


def test_scales_of_training_are_those_of_the_graph(
    taught: Trained, exported: Artifact, learned: Learned, drawn: Drawn, tmp_path: Path
) -> None:
    form = quantized(exported, drawn, tmp_path, ranges=taught.ranges)

    scales = scales_of(form.onnx)
    graph = onnx.load(exported / "model.onnx").graph
    reads = {node.input[1]: node.input[0] for node in graph.node if node.op_type == "Conv"}
    for name in ("model.1.conv", "model.2.cv1.conv", "model.2.m.0.cv1.conv", "model.5.conv"):
        layer = learned[name]
        assert np.allclose(scales[f"{name}.weight"], np.array(layer.weights) / 127)
        assert scales[reads[f"{name}.weight"]] >= np.float32(layer.inputs / 127) * (1 - 1e-6), name
    assert scales["/model.0/act/Mul_output_0"] == pytest.approx(learned["model.1.conv"].inputs / 127)


def test_where_a_grid_need_not_be_symmetric_its_steps_are_finer_than_in_training(
    taught: Trained, exported: Artifact, learned: Learned, drawn: Drawn, tmp_path: Path
) -> None:
    form = quantized(exported, drawn, tmp_path, ranges=taught.ranges, dialect=Dialect(symmetric=False))

    step = scales_of(form.onnx)["/model.0/act/Mul_output_0"]
    assert 0 < step < learned["model.1.conv"].inputs / 127


def test_the_graph_answers_as_the_model_that_was_trained(
    taught: Trained, exported: Artifact, drawn: Drawn, tmp_path: Path
) -> None:
    form = quantized(exported, drawn, tmp_path, ranges=taught.ranges)
    images = np.random.default_rng(0).random((1, 3, 64, 64), dtype=np.float32)

    answers = [
        onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"]).run(
            None, {"images": images}
        )[0]
        for folder in (exported, form.onnx)
    ]

    assert answers[0].shape == answers[1].shape
    assert 0 < np.abs(answers[0][:, 4:] - answers[1][:, 4:]).max() < 0.1


def test_ranges_of_another_model_are_refused(
    taught: Trained, checkpoint_of: Callable[..., Artifact], drawn: Drawn, tmp_path: Path
) -> None:
    inputs = ExportInputs(checkpoint=checkpoint_of("yolov8n"))
    other = Export(imgsz=64).run(inputs, tmp_path / "export", no_progress).onnx

    with pytest.raises(DataError, match="were trained for INT8"):
        quantized(other, drawn, tmp_path, ranges=taught.ranges)


def test_a_training_for_int8_that_was_killed_ends_as_an_uninterrupted_one(
    taught: Trained, float_one: Artifact, drawn: Drawn, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(drawn, float_one, tmp_path, stop_at=1.1, int8=True, teacher=float_one)

    resumed = train(drawn, float_one, tmp_path, int8=True, teacher=float_one)
    again = train(drawn, float_one, tmp_path, int8=True, teacher=float_one)  # of a run killed while it saved

    assert resumed.checkpoint.digest == again.checkpoint.digest == taught.checkpoint.digest
    assert resumed.ranges == again.ranges
    assert resumed.ranges is not None
    assert taught.ranges is not None
    assert resumed.ranges.digest == taught.ranges.digest


def test_without_modelopt_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qat, "_NEEDS", ("modelopt_that_is_not_there",))

    with pytest.raises(EdgeboundError, match="needs modelopt_that_is_not_there") as caught:
        qat.see_that_it_can_be()

    assert "edgebound[qat]" in caught.value.hint
