"""The stage: a folder with an FP32 model goes in, one with an INT8 model comes out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from stages.artifact import Artifact
from stages.evaluation.simulation import open_simulation
from stages.quantize import Quantize, Quantized, QuantizeInputs
from stages.quantize.calibration import Calibrate, CalibrateInputs, Method
from stages.stage import no_progress
from targets.errors import ModelError, UsageError
from targets.model import InputSpec, ModelSpec, load_model_spec
from targets.profile import Dialect, TargetProfile


@pytest.fixture
def exported(detector: onnx.ModelProto, tmp_path: Path) -> Artifact:
    folder = tmp_path / "exported"
    folder.mkdir()
    onnx.save(detector, folder / "model.onnx")
    ModelSpec(family="toy", class_names=("bolt", "nut"), input=InputSpec(16, 16)).save(folder)
    return Artifact.of(folder)


@pytest.fixture
def calibrated(exported: Artifact, drawn: tuple[Artifact, Artifact], tmp_path: Path) -> Artifact:
    out = tmp_path / "calibrated"
    out.mkdir()
    inputs = CalibrateInputs(onnx=exported, index=drawn[0], pictures=drawn[1])
    return Calibrate().run(inputs, out, no_progress).statistics


Make = Callable[..., Quantized]


@pytest.fixture
def make(exported: Artifact, calibrated: Artifact, drawn: tuple[Artifact, Artifact], tmp_path: Path) -> Make:
    """Quantize into a folder of that name."""

    def run(name: str, stage: Quantize | None = None, **inputs: Any) -> Quantized:
        given = {"dialect": Dialect(), "runtime": "tensorrt", "runtime_version": "8.5", "onnx": exported}
        out = tmp_path / name
        out.mkdir()
        return (stage or Quantize()).run(
            QuantizeInputs(statistics=calibrated, index=drawn[0], pictures=drawn[1], **{**given, **inputs}),
            out,
            no_progress,
        )

    return run


def qdq_types(folder: Artifact) -> set[tuple[str, str]]:
    """Give operator and type of each zero point."""
    model = onnx.load(folder / "model.onnx")
    kinds = {one.name: onnx.TensorProto.DataType.Name(one.data_type) for one in model.graph.initializer}
    pairs = [node for node in model.graph.node if node.op_type in {"QuantizeLinear", "DequantizeLinear"}]
    return {(node.op_type, kinds[node.input[2]]) for node in pairs}


def test_it_writes_the_model_its_description_and_what_was_placed(make: Make, exported: Artifact) -> None:
    result = make("out")

    report = json.loads((result.onnx / "placement.json").read_text())
    assert sorted(path.name for path in result.onnx.path.iterdir()) == [
        "model.json", "model.onnx", "placement.json", "placement.txt",
    ]  # fmt: skip
    assert result.summary.startswith("2 of 5 weighted operators in INT8")
    assert report["nodes"] == ["c0", "c1"]
    assert report["grids"].keys() == {"images", "a0"}
    assert {one.node for one in result.left_out} == {"box", "cls", "dfl"}
    assert "output convolution of the head" in (result.onnx / "placement.txt").read_text()
    assert load_model_spec(result.onnx.path).parent_digest == exported.digest
    assert load_model_spec(result.onnx.path).class_names == ("bolt", "nut")


def test_tensorrt_gets_signed_activations_and_a_cpu_unsigned_ones(make: Make) -> None:
    cpu = Dialect(symmetric=False, reduced_range=True)

    signed = make("signed").onnx
    unsigned = make("unsigned", dialect=cpu, runtime="openvino", runtime_version="").onnx

    assert qdq_types(signed) == {("QuantizeLinear", "INT8"), ("DequantizeLinear", "INT8")}
    assert qdq_types(unsigned) == {
        ("QuantizeLinear", "UINT8"), ("DequantizeLinear", "UINT8"), ("DequantizeLinear", "INT8"),
    }  # fmt: skip


def test_on_a_cpu_the_picture_keeps_all_its_bits(make: Make) -> None:
    cpu = Dialect(symmetric=False, reduced_range=True)

    result = make("cpu", dialect=cpu, runtime="openvino", runtime_version="")
    grids = json.loads((result.onnx / "placement.json").read_text())["grids"]

    assert grids["images"] == {"scale": pytest.approx(1 / 255), "zero_point": 0, "unsigned": True}


def test_weights_behind_a_bright_picture_have_seven_bits(make: Make) -> None:
    cpu = Dialect(symmetric=False, reduced_range=True)

    result = make("cpu", dialect=cpu, runtime="openvino", runtime_version="")
    report = json.loads((result.onnx / "placement.json").read_text())
    stored = {
        one.name: np.abs(numpy_helper.to_array(one).astype(int)).max()
        for one in onnx.load(result.onnx / "model.onnx").graph.initializer
        if one.name in {"w0_quantized", "w1_quantized"}
    }

    assert "w0" in report["seven_bits"]  # the picture's squares are of grey 200
    for name in ("w0", "w1"):
        assert stored[f"{name}_quantized"] == (63 if name in report["seven_bits"] else 127)


def test_a_strongly_typed_network_gets_fp16_scales(make: Make) -> None:
    dialect = Dialect(opset=19, scale_dtype="float16", tensor_cores=True)

    model = onnx.load(make("typed", dialect=dialect, runtime_version="10.3").onnx / "model.onnx")
    scales = [one for one in model.graph.initializer if one.name.endswith("_scale")]

    assert model.opset_import[0].version == 19
    assert scales
    assert {one.data_type for one in scales} == {onnx.TensorProto.FLOAT16}
    assert {one.type.tensor_type.elem_type for one in (*model.graph.input, *model.graph.output)} == {
        onnx.TensorProto.FLOAT
    }


def test_a_dialect_that_the_parser_does_not_take_is_refused(make: Make) -> None:
    with pytest.raises(UsageError, match="zero points other than 0"):
        make("out", dialect=Dialect(symmetric=False))


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy", "mse", "reconstruction"])
def test_every_method_gives_a_model_that_answers_much_as_the_float_one(
    make: Make, exported: Artifact, method: Method
) -> None:
    result = make(method, Quantize(method=method))
    images = np.full((1, 3, 16, 16), 60 / 255, np.float32)
    images[..., 4:10, 4:10] = 200 / 255
    profile = TargetProfile(name="here", device="this machine", runtime="onnxruntime")

    with open_simulation(exported.path, profile) as infer:
        wanted = infer(images)
    with open_simulation(result.onnx.path, profile) as infer:
        given = infer(images)

    assert np.abs(given[:, 4:] - wanted[:, 4:]).max() < 0.15  # entropy clips most


def test_biases_are_corrected_unless_told_otherwise(make: Make) -> None:
    def bias(name: str, stage: Quantize) -> np.ndarray:
        model = onnx.load(make(name, stage).onnx / "model.onnx")
        return next(numpy_helper.to_array(one) for one in model.graph.initializer if one.name == "b0")

    corrected = bias("with", Quantize())
    kept = bias("without", Quantize(correct_bias=False))

    assert not np.array_equal(corrected, kept)
    np.testing.assert_allclose(corrected, kept, atol=0.02)


def test_the_same_inputs_give_the_same_bytes(make: Make) -> None:
    first, second = (make(name, Quantize(exclude=())) for name in ("a", "b"))

    assert first.onnx.digest == second.onnx.digest


def test_a_quantized_model_is_not_quantized_again(make: Make) -> None:
    once = make("once")

    with pytest.raises(ModelError, match="quantized already"):
        make("twice", onnx=once.onnx)


def test_a_pattern_that_fits_nothing_leaves_nothing_behind(make: Make, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no node of the model fits 'nosuch'"):
        make("out", Quantize(exclude=("nosuch",)))

    assert list((tmp_path / "out").iterdir()) == []


def test_a_file_that_is_no_model_is_refused(make: Make, exported: Artifact) -> None:
    (exported / "model.onnx").write_bytes(b"no model")

    with pytest.raises(ModelError, match="no ONNX file"):
        make("out")
