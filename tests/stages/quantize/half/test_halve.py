"""The stage: a folder with an FP32 model goes in, one with an FP16 model comes out."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from stages.artifact import Artifact
from stages.onnx_files import load_onnx
from stages.quantize.dialect import to_dialect
from stages.quantize.half import RECORD, Halve, Halved, HalveInputs, load_kept
from stages.quantize.half.convert import to_half
from stages.quantize.insert import insert_qdq
from stages.quantize.opset import opset_of, raise_opset
from stages.quantize.placement import place
from stages.quantize.ranges import Grid
from stages.quantize.rules import breaches, rules_for
from stages.stage import no_progress
from stages.tensor_types import tensor_types
from targets.errors import DataError, ModelError
from targets.model import InputSpec, ModelSpec, load_model_spec
from targets.profile import Dialect

DIALECT = Dialect(opset=19, scale_dtype="float16")
KEPT = ["shares", "dfl", "sides", "boxes", "output0"]  # from DFL on; scores stay FP16


@pytest.fixture
def exported(detector: onnx.ModelProto, tmp_path: Path) -> Artifact:
    """Give a toy detector whose boxes are up to 640 pixels."""
    strides = next(one for one in detector.graph.initializer if one.name == "strides")
    strides.CopyFrom(onnx.numpy_helper.from_array(np.array([317.3], np.float32), "strides"))
    return save(detector, tmp_path / "exported")


def save(model: onnx.ModelProto, folder: Path) -> Artifact:
    folder.mkdir()
    onnx.save(model, folder / "model.onnx")
    ModelSpec(family="toy", class_names=("bolt", "nut"), input=InputSpec(16, 16)).save(folder)
    return Artifact.of(folder)


def halve(
    model: Artifact,
    drawn: tuple[Artifact, Artifact],
    out: Path,
    dialect: Dialect = DIALECT,
    **settings: float,
) -> Halved:
    out.mkdir()
    inputs = HalveInputs(onnx=model, index=drawn[0], pictures=drawn[1], dialect=dialect)
    return Halve(**settings).run(inputs, out, no_progress)  # type: ignore[arg-type]


def test_it_writes_the_model_its_description_and_what_stays_in_float(
    exported: Artifact, drawn: tuple[Artifact, Artifact], tmp_path: Path
) -> None:
    result = halve(exported, drawn, tmp_path / "out")

    record = json.loads((result.onnx / RECORD).read_text())
    assert sorted(path.name for path in result.onnx.path.iterdir()) == [
        "model.json", "model.onnx", "precision.json",
    ]  # fmt: skip
    assert [one["node"] for one in record["kept_fp32"]] == KEPT
    assert record["kept_fp32"][3]["operator"] == "Mul"
    assert "it alone moves boxes by" in record["kept_fp32"][3]["reason"]
    assert record["tolerance"] == {"boxes_px": 0.2, "scores": 0.01}
    assert record["gap"]["boxes_px"] <= 0.2
    assert record["pictures"] == 2
    assert result.kept_fp32 == 5
    assert load_model_spec(result.onnx.path).parent_digest == exported.digest


def test_the_model_is_valid_typed_and_of_the_dialects_opset(
    exported: Artifact, drawn: tuple[Artifact, Artifact], tmp_path: Path
) -> None:
    model = load_onnx(halve(exported, drawn, tmp_path / "out").onnx / "model.onnx")

    onnx.checker.check_model(model, full_check=True)
    types = tensor_types(model)
    assert model.opset_import[0].version == 19
    assert types["images"] == types["output0"] == TensorProto.FLOAT
    assert types["a1"] == types["scores"] == types["w0"] == TensorProto.FLOAT16
    assert breaches(model, rules_for("tensorrt", "10.3", DIALECT)) == []


def test_at_opset_17_it_is_for_old_versions_of_tensorrt(
    exported: Artifact, drawn: tuple[Artifact, Artifact], tmp_path: Path
) -> None:
    model = load_onnx(halve(exported, drawn, tmp_path / "out", Dialect()).onnx / "model.onnx")

    assert model.opset_import[0].version == 17
    assert breaches(model, rules_for("tensorrt", "8.5", Dialect())) == []


def test_the_same_inputs_give_the_same_bytes(
    exported: Artifact, drawn: tuple[Artifact, Artifact], tmp_path: Path
) -> None:
    first, second = (halve(exported, drawn, tmp_path / name) for name in ("a", "b"))

    assert first.onnx.digest == second.onnx.digest


def test_what_stays_in_float_can_stay_so_in_the_int8_form(
    exported: Artifact, drawn: tuple[Artifact, Artifact], tmp_path: Path, detector: onnx.ModelProto
) -> None:
    kept = load_kept(halve(exported, drawn, tmp_path / "out").onnx)
    placement = place(detector, exclude=("head",))
    quantized = insert_qdq(detector, placement, dict.fromkeys(placement.activations, Grid(0.02)))

    made = to_dialect(quantized, DIALECT, keep_fp32=kept)

    assert kept == set(KEPT)
    assert tensor_types(made)["boxes"] == TensorProto.FLOAT
    assert tensor_types(made)["scores"] == TensorProto.FLOAT16
    assert breaches(made, rules_for("tensorrt", "10.3", DIALECT)) == []


def test_fewer_pictures_may_be_looked_at(
    exported: Artifact, drawn: tuple[Artifact, Artifact], tmp_path: Path
) -> None:
    result = halve(exported, drawn, tmp_path / "out", calibration=1)

    assert json.loads((result.onnx / RECORD).read_text())["pictures"] == 1


def test_an_accuracy_that_no_node_is_to_blame_for_is_told(
    exported: Artifact, drawn: tuple[Artifact, Artifact], tmp_path: Path
) -> None:
    """Many equal operators, all of them inexact: none alone makes much of the error."""
    model = load_onnx(exported / "model.onnx")
    start = [node.output[0] for node in model.graph.node].index("a0")
    model.graph.node[start].output[0] = "t0"
    for number in range(48):
        ends = [f"t{number}", "one"], [f"t{number + 1}" if number < 47 else "a0"]
        model.graph.node.insert(start + 1 + number, onnx.helper.make_node("Mul", *ends, f"t{number}_Mul"))
    one = np.array(1.0009, np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(one, "one"))

    result = halve(
        save(model, tmp_path / "noisy"), drawn, tmp_path / "out", tolerance_score=4e-4, tolerance_px=2
    )

    assert len(result.notes) == 1
    assert result.notes[0].startswith("FP16 moves boxes by up to")
    assert "no single nodes are to blame" in result.notes[0]


def test_too_few_detections_to_judge_by_are_told(
    exported: Artifact, drawn: tuple[Artifact, Artifact], tmp_path: Path
) -> None:
    """One anchor of 64 stands out: a weak model on pictures with little to see."""
    model = load_onnx(exported / "model.onnx")
    offsets = np.full((1, 2, 64), -9, np.float32)
    offsets[0, 0, 40] = 9
    model.graph.initializer.append(onnx.numpy_helper.from_array(offsets, "offsets"))
    scores = next(node for node in model.graph.node if node.name == "scores")
    scores.input[0] = "moved"
    place_of = list(model.graph.node).index(scores)
    model.graph.node.insert(place_of, onnx.helper.make_node("Add", ["logits", "offsets"], ["moved"], "moved"))

    result = halve(save(model, tmp_path / "weak"), drawn, tmp_path / "out")

    assert result.notes == ("FP16 is judged by 2 detections on the calibration pictures: too few.",)
    assert {"boxes", "scores", "moved", "dfl"} <= load_kept(result.onnx)


def test_nothing_is_noted_where_all_is_well(
    exported: Artifact, drawn: tuple[Artifact, Artifact], tmp_path: Path
) -> None:
    assert halve(exported, drawn, tmp_path / "out").notes == ()


def test_a_quantized_model_is_refused(
    detector: onnx.ModelProto, drawn: tuple[Artifact, Artifact], tmp_path: Path
) -> None:
    placement = place(detector, exclude=("head",))
    quantized = insert_qdq(detector, placement, dict.fromkeys(placement.activations, Grid(0.02)))

    with pytest.raises(ModelError, match="quantized already"):
        halve(save(quantized, tmp_path / "int8"), drawn, tmp_path / "out")


def test_a_model_in_half_is_refused(
    exported: Artifact, drawn: tuple[Artifact, Artifact], tmp_path: Path
) -> None:
    half = to_half(load_onnx(exported / "model.onnx"))

    with pytest.raises(ModelError, match="holds FP16 already"):
        halve(save(half, tmp_path / "half"), drawn, tmp_path / "out")


def test_a_model_of_a_newer_opset_keeps_that(
    exported: Artifact, drawn: tuple[Artifact, Artifact], tmp_path: Path
) -> None:
    newer = raise_opset(load_onnx(exported / "model.onnx"), 20)

    result = halve(save(newer, tmp_path / "newer"), drawn, tmp_path / "out")

    assert opset_of(load_onnx(result.onnx / "model.onnx")) == 20


def test_without_calibration_pictures_there_is_an_error(
    exported: Artifact, drawn: tuple[Artifact, Artifact], tmp_path: Path
) -> None:
    index = tmp_path / "index"
    index.mkdir()
    record = json.loads((drawn[0] / "dataset.json").read_text())
    (index / "dataset.json").write_text(json.dumps(record | {"calibration": []}))

    with pytest.raises(DataError, match="no calibration pictures"):
        halve(exported, (Artifact.of(index), drawn[1]), tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        ("no json", "Expecting value"),
        ('{"schema": 1}', "kept_fp32"),
        ('{"schema": 1, "kept_fp32": [3]}', "does not say"),
        ("[]", "does not say"),
        ('{"schema": 2, "kept_fp32": []}', "format version 2"),
    ],
)
def test_a_record_that_is_broken_is_refused(content: str | None, reason: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / RECORD).write_text(content)

    with pytest.raises(ModelError, match=reason):
        load_kept(Artifact(tmp_path, "sha256:0"))


def test_the_plan_may_import_it_for_free() -> None:
    code = (
        "import sys, stages.quantize.half; print(sorted({'onnx', 'onnxruntime', 'cv2'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
