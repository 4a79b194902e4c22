"""The stage: a folder with an FP32 model goes in, one with an INT8 model comes out."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from stages.artifact import Artifact
from stages.quantize import Quantize, Quantized, QuantizeInputs
from stages.stage import no_progress
from targets.errors import ModelError, UsageError
from targets.model import InputSpec, ModelSpec, load_model_spec
from targets.profile import Dialect


@pytest.fixture
def exported(detector: onnx.ModelProto, tmp_path: Path) -> Artifact:
    folder = tmp_path / "exported"
    folder.mkdir()
    onnx.save(detector, folder / "model.onnx")
    ModelSpec(family="toy", class_names=("bolt", "nut"), input=InputSpec(16, 16)).save(folder)
    return Artifact.of(folder)


def quantize(stage: Quantize, onnx_: Artifact, drawn: tuple[Artifact, Artifact], out: Path) -> Quantized:
    out.mkdir()
    inputs = QuantizeInputs(onnx=onnx_, index=drawn[0], pictures=drawn[1], dialect=Dialect())
    return stage.run(inputs, out, no_progress)


def test_it_writes_the_model_its_description_and_what_was_placed(
    exported: Artifact, drawn: tuple[Artifact, Artifact], tmp_path: Path
) -> None:
    result = quantize(Quantize(), exported, drawn, tmp_path / "out")

    report = json.loads((result.onnx / "placement.json").read_text())
    assert sorted(path.name for path in result.onnx.path.iterdir()) == [
        "model.json", "model.onnx", "placement.json",
    ]  # fmt: skip
    assert (result.quantized, result.left_out) == (2, 3)
    assert report["nodes"] == ["c0", "c1"]
    assert report["scales"].keys() == {"images", "a0"}
    assert {one["node"] for one in report["left_out"]} == {"box", "cls", "dfl"}
    assert load_model_spec(result.onnx.path).parent_digest == exported.digest
    assert load_model_spec(result.onnx.path).class_names == ("bolt", "nut")


def test_the_same_inputs_give_the_same_bytes(
    exported: Artifact, drawn: tuple[Artifact, Artifact], tmp_path: Path
) -> None:
    first, second = (quantize(Quantize(exclude=()), exported, drawn, tmp_path / name) for name in ("a", "b"))

    assert first.onnx.digest == second.onnx.digest


def test_fewer_pictures_may_calibrate_than_were_picked(
    exported: Artifact, drawn: tuple[Artifact, Artifact], tmp_path: Path
) -> None:
    def scale(calibration: int) -> np.ndarray:
        result = quantize(Quantize(calibration=calibration), exported, drawn, tmp_path / str(calibration))
        model = onnx.load(result.onnx / "model.onnx")
        return next(numpy_helper.to_array(one) for one in model.graph.initializer if one.name == "a0_scale")

    scales = [scale(calibration) for calibration in (0, 1, 2)]

    assert scales[1] != scales[0]
    assert scales[2] == scales[0]  # two were picked


def test_a_quantized_model_is_not_quantized_again(
    exported: Artifact, drawn: tuple[Artifact, Artifact], tmp_path: Path
) -> None:
    once = quantize(Quantize(), exported, drawn, tmp_path / "once")

    with pytest.raises(ModelError, match="quantized already"):
        quantize(Quantize(), once.onnx, drawn, tmp_path / "twice")


def test_a_pattern_that_fits_nothing_leaves_nothing_behind(
    exported: Artifact, drawn: tuple[Artifact, Artifact], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no node of the model fits 'nosuch'"):
        quantize(Quantize(exclude=("nosuch",)), exported, drawn, tmp_path / "out")

    assert list((tmp_path / "out").iterdir()) == []


def test_a_file_that_is_no_model_is_refused(
    exported: Artifact, drawn: tuple[Artifact, Artifact], tmp_path: Path
) -> None:
    (exported / "model.onnx").write_bytes(b"no model")

    with pytest.raises(ModelError, match="no ONNX file"):
        quantize(Quantize(), exported, drawn, tmp_path / "out")
