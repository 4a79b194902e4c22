"""The stage: equalized models compute the same."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from stages.artifact import Artifact
from stages.quantize.equalize import Equalize, Equalized, EqualizeInputs
from stages.stage import no_progress
from targets.model import InputSpec, ModelSpec, load_model_spec
from targets.profile import TargetProfile
from targets.runtimes.ort import OrtRuntime

HERE = TargetProfile(name="here", device="this machine", runtime="onnxruntime")
RELU = "c0 = Conv (images, w0, b0) a0 = Relu (c0) output0 = Conv (a0, w1)"
WEIGHTS = {"w0": (8, 3, 3, 3), "b0": (8,), "w1": (4, 8, 3, 3)}


def saved(model: onnx.ModelProto, folder: Path) -> Artifact:
    folder.mkdir()
    onnx.save(model, folder / "model.onnx")
    ModelSpec(family="toy", class_names=("bolt",), input=InputSpec(16, 16)).save(folder)
    return Artifact.of(folder)


def equalize(source: Artifact, out: Path) -> Equalized:
    out.mkdir()
    return Equalize().run(EqualizeInputs(onnx=source), out, no_progress)


def test_an_equalized_model_answers_as_before(build, tmp_path: Path) -> None:
    source = saved(build(RELU, WEIGHTS, output="float[1, 4, 12, 12] output0"), tmp_path / "source")
    images = np.random.default_rng(0).random((1, 3, 16, 16), np.float32)

    result = equalize(source, tmp_path / "out")
    with OrtRuntime().open(source.path, HERE) as before, OrtRuntime().open(result.onnx.path, HERE) as after:
        answers = before(images), after(images)

    assert result.pairs == 1
    assert result.notes == ()
    assert load_model_spec(result.onnx.path).parent_digest == source.digest
    np.testing.assert_allclose(answers[1], answers[0], rtol=1e-4, atol=1e-5)


def test_where_silu_stands_between_all_convolutions_it_says_that_nothing_was_done(
    detector: onnx.ModelProto, tmp_path: Path
) -> None:
    result = equalize(saved(detector, tmp_path / "source"), tmp_path / "out")

    assert result.pairs == 0
    assert result.notes == (
        "quantize.equalize: no pair of convolutions could be equalized; SiLU lets no factor through.",
    )


@pytest.mark.parametrize("content", [b"", b"no model"])
def test_a_file_that_is_no_model_is_refused(content: bytes, tmp_path: Path) -> None:
    from targets.errors import ModelError

    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "model.onnx").write_bytes(content)

    with pytest.raises(ModelError):
        equalize(Artifact.of(tmp_path / "source"), tmp_path / "out")
