"""Build: an ONNX model and a profile give an engine folder that verifies itself."""

from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, numpy_helper, parser

from stages.artifact import Artifact
from stages.build import Build, BuildInputs, Built
from stages.stage import no_progress
from targets.engine import open_engine
from targets.errors import EvidenceError, ModelError, UnsupportedError
from targets.model import InputSpec, ModelSpec, load_model_spec
from targets.profile import RuntimeName, TargetProfile
from targets.runtimes import find_runtime

HEAD = """<ir_version: 8, opset_import: ["": 17]>
detector (float[1, 3, 32, 32] images) => (float[1, 7, 21] output0)"""
BODY = "{ flat = Flatten (images) all = MatMul (flat, weights) output0 = Reshape (all, shape) }"


def _profile(runtime: RuntimeName) -> TargetProfile:
    return TargetProfile(name="here", device="this machine", runtime=runtime)


def _model(body: str = BODY) -> ModelProto:
    model = parser.parse_model(HEAD + body)
    weights = np.ones((3072, 147), np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weights, "weights"))
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 7, 21]), "shape"))
    return model


def _artifact(folder: Path, content: bytes) -> Artifact:
    folder.mkdir()
    (folder / "model.onnx").write_bytes(content)
    names = ("hole", "scratch", "stain")
    ModelSpec(family="toy", class_names=names, input=InputSpec(32, 32), parent_digest="sha256:x").save(folder)
    return Artifact.of(folder)


def _build(model: Artifact, runtime: RuntimeName, out: Path) -> Built:
    out.mkdir()
    return Build(precision="int8").run(BuildInputs(model=model, profile=_profile(runtime)), out, no_progress)


@pytest.mark.parametrize("runtime", ["null", "onnxruntime", "openvino"])
def test_engine_is_complete_and_runs(tmp_path: Path, runtime: RuntimeName) -> None:
    model = _artifact(tmp_path / "onnx", _model().SerializeToString())

    built = _build(model, runtime, tmp_path / "out")

    manifest = open_engine(built.engine.path)
    assert (manifest.runtime, manifest.precision) == (runtime, "int8")
    assert manifest.runtime_version == find_runtime(runtime).version()
    assert load_model_spec(built.engine.path).parent_digest == model.digest
    assert built.engine == Artifact.of(tmp_path / "out" / "engine")
    with find_runtime(runtime).open(built.engine.path, manifest.profile) as infer:
        assert infer(np.zeros((1, 3, 32, 32), np.float32)).shape == (1, 7, 21)


def test_size_is_that_of_the_engine_alone(tmp_path: Path) -> None:
    model = _artifact(tmp_path / "onnx", _model().SerializeToString())

    built = _build(model, "onnxruntime", tmp_path / "out")

    assert built.size_bytes == (tmp_path / "onnx" / "model.onnx").stat().st_size


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_same_model_gives_the_same_engine(tmp_path: Path, runtime: RuntimeName) -> None:
    model = _artifact(tmp_path / "onnx", _model().SerializeToString())

    assert _build(model, runtime, tmp_path / "a").engine.digest == (
        _build(model, runtime, tmp_path / "b").engine.digest
    )


def test_model_that_cannot_be_trusted_never_reaches_the_runtime(tmp_path: Path) -> None:
    evil = _model()
    evil.graph.initializer[0].external_data.add(key="location", value="../../etc/passwd")
    model = _artifact(tmp_path / "onnx", evil.SerializeToString())

    with pytest.raises(ModelError, match="outside the model's folder"):
        _build(model, "openvino", tmp_path / "out")


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_model_that_the_runtime_cannot_run_is_unsupported(tmp_path: Path, runtime: RuntimeName) -> None:
    content = _model("{ output0 = YoloLayer (images) }").SerializeToString()
    model = _artifact(tmp_path / "onnx", content)

    with pytest.raises(UnsupportedError, match="YoloLayer"):
        _build(model, runtime, tmp_path / "out")


def test_tensorrt_that_is_not_here_is_told(tmp_path: Path) -> None:
    model = _artifact(tmp_path / "onnx", _model().SerializeToString())

    with pytest.raises(EvidenceError, match="TensorRT cannot be loaded here"):
        _build(model, "tensorrt", tmp_path / "out")
