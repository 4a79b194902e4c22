"""The stage: a folder with an FP32 model goes in, one with statistics comes out."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import helper

from stages.artifact import Artifact
from stages.dataset import Dataset, Picture, load_dataset, save_dataset
from stages.quantize.calibration import Calibrate, Calibrated, CalibrateInputs
from stages.quantize.calibration.storage import load_statistics
from stages.stage import no_progress
from targets.errors import DataError, ModelError
from targets.model import InputSpec, ModelSpec

Build = Callable[..., onnx.ModelProto]
Drawn = tuple[Artifact, Artifact]


def export(model: onnx.ModelProto, folder: Path, **external: object) -> Artifact:
    folder.mkdir()
    onnx.save(model, folder / "model.onnx", **external)
    ModelSpec(family="toy", class_names=("bolt", "nut"), input=InputSpec(16, 16)).save(folder)
    return Artifact.of(folder)


@pytest.fixture
def exported(detector: onnx.ModelProto, tmp_path: Path) -> Artifact:
    return export(detector, tmp_path / "exported")


def calibrate(onnx_: Artifact, drawn: Drawn, out: Path, pictures: int = 0) -> Calibrated:
    out.mkdir()
    inputs = CalibrateInputs(onnx=onnx_, index=drawn[0], pictures=drawn[1])
    return Calibrate(pictures=pictures).run(inputs, out, no_progress)


def calibration_set(folder: Path, *pixels: np.ndarray) -> Drawn:
    """Give a data set of these pictures, all of them for calibration."""
    (folder / "pictures").mkdir(parents=True)
    (folder / "index").mkdir()
    pictures = []
    for number, one in enumerate(pixels):
        path = folder / "pictures" / f"{number}.png"
        cv2.imwrite(str(path), one)
        pictures.append(
            Picture(
                file=path.name,
                sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                width=one.shape[1],
                height=one.shape[0],
                boxes=np.zeros((0, 5)),
                crowd=np.zeros(0, np.bool_),
            )
        )
    dataset = Dataset(class_names=("bolt",), train=tuple(pictures), val=(), calibration=tuple(pictures))
    save_dataset(dataset, folder / "index")
    return Artifact.of(folder / "index"), Artifact.of(folder / "pictures")


def grey(level: int) -> np.ndarray:
    return np.full((16, 16, 3), level, np.uint8)


def test_it_writes_statistics_and_what_they_are_of(exported: Artifact, drawn: Drawn, tmp_path: Path) -> None:
    result = calibrate(exported, drawn, tmp_path / "out")

    record = json.loads((result.statistics / "statistics.json").read_text())
    statistics = load_statistics(result.statistics)
    assert result.pictures == record["pictures"] == 2
    assert record["model"] == exported.digest
    assert list(statistics) == record["tensors"]
    assert statistics["images"].high == pytest.approx(200 / 255)
    assert [note.split(":")[0] for note in result.notes] == [
        "Only 2 pictures calibrate",
        "No calibration picture shows these classes of val",
    ]


def test_the_same_inputs_give_the_same_bytes(exported: Artifact, drawn: Drawn, tmp_path: Path) -> None:
    first, second = (calibrate(exported, drawn, tmp_path / name) for name in ("a", "b"))

    assert first.statistics.digest == second.statistics.digest


def test_fewer_pictures_may_be_looked_at_than_were_picked(
    exported: Artifact, drawn: Drawn, tmp_path: Path
) -> None:
    results = [calibrate(exported, drawn, tmp_path / str(count), count) for count in (0, 1, 5)]

    records = [json.loads((one.statistics / "statistics.json").read_text()) for one in results]
    assert [one.pictures for one in results] == [2, 1, 2]
    assert records[0]["data"] == records[2]["data"] != records[1]["data"]


def test_no_pictures_are_an_error(exported: Artifact, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no calibration pictures"):
        calibrate(exported, calibration_set(tmp_path / "empty"), tmp_path / "out")


def test_a_picture_that_changed_since_is_named(exported: Artifact, tmp_path: Path) -> None:
    index, pictures = calibration_set(tmp_path / "set", grey(10), grey(20))
    (pictures / "1.png").write_bytes((pictures / "0.png").read_bytes())

    with pytest.raises(DataError, match=r"1\.png has changed"):
        calibrate(exported, (index, pictures), tmp_path / "out")


def test_pictures_of_one_colour_are_named(exported: Artifact, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (16, 16, 3)).astype(np.uint8)

    result = calibrate(exported, calibration_set(tmp_path / "set", noise, grey(9)), tmp_path / "out")

    assert "Calibration pictures of one colour, which say nothing: 1.png." in result.notes


def test_a_tensor_that_is_not_finite_is_named_with_its_picture_and_node(build: Build, tmp_path: Path) -> None:
    model = build(
        "above = Sub (images, limit) root = Sqrt (above) output0 = Relu (root)",
        {},
        {"limit": np.array(0.5, np.float32)},
    )
    shown = calibration_set(tmp_path / "set", grey(200), grey(50))

    with pytest.raises(ModelError, match=r"Tensor root is not finite on 1\.png, and root is the first node"):
        calibrate(export(model, tmp_path / "model"), shown, tmp_path / "out")


def test_a_quantized_model_is_refused(detector: onnx.ModelProto, drawn: Drawn, tmp_path: Path) -> None:
    detector.graph.node.append(helper.make_node("DequantizeLinear", ["q", "s", "z"], ["x"]))

    with pytest.raises(ModelError, match="quantized already"):
        calibrate(export(detector, tmp_path / "model"), drawn, tmp_path / "out")


def test_external_data_are_read(detector: onnx.ModelProto, drawn: Drawn, tmp_path: Path) -> None:
    inside = calibrate(export(detector, tmp_path / "inside"), drawn, tmp_path / "a")
    outside = export(
        detector, tmp_path / "outside", save_as_external_data=True, location="data.bin", size_threshold=0
    )

    result = calibrate(outside, drawn, tmp_path / "b")

    figures = [(one.statistics / "statistics.npz").read_bytes() for one in (inside, result)]
    assert figures[0] == figures[1]


def test_open_sides_are_those_of_model_json(build: Build, drawn: Drawn, tmp_path: Path) -> None:
    model = build(
        "output0 = Relu (images)",
        {},
        source="float[n, 3, h, w] images",
        output="float[n, 3, h, w] output0",
    )

    result = calibrate(export(model, tmp_path / "open"), drawn, tmp_path / "out")

    assert load_statistics(result.statistics)["output0"].count == 2 * 3 * 16 * 16


def test_a_file_that_is_no_model_is_refused(exported: Artifact, drawn: Drawn, tmp_path: Path) -> None:
    (exported / "model.onnx").write_bytes(b"no model")

    with pytest.raises(ModelError, match="no ONNX file"):
        calibrate(exported, drawn, tmp_path / "out")


def test_the_chosen_pictures_are_the_first_of_those_picked(drawn: Drawn) -> None:
    assert len(load_dataset(drawn[0]).calibration) == 2


def test_the_plan_can_import_the_stage_without_anything_heavy() -> None:
    code = (
        "import sys, stages.quantize.calibration\n"
        "print(sorted(set(sys.modules) & {'numpy', 'onnx', 'onnxruntime', 'cv2', 'torch'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.stdout.strip() == "[]", done.stderr
