"""Checkpoints and descriptions that a user names, with nothing around them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.inspect import as_onnx
from stages.artifact import Artifact
from stages.onnx_files import load_onnx
from stages.train.named import save_named
from targets.errors import ModelError, UsageError
from targets.model import load_model_spec


def test_a_checkpoint_keeps_its_classes(checkpoint_of: Callable[..., Artifact], tmp_path: Path) -> None:
    weights = checkpoint_of("yolo11n") / "best.pt"

    spec = load_model_spec(save_named(weights, tmp_path / "out").path)

    assert spec.class_names == ("hole", "scratch", "stain")
    assert spec.family == "yolo11n"


def test_a_description_is_exported_with_as_many_classes_as_it_says(
    small_yaml: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "small.yaml").write_text(small_yaml().replace("nc: 80", "nc: 5"))

    exported = as_onnx(tmp_path / "small.yaml", tmp_path)
    shape = load_onnx(exported).graph.output[0].type.tensor_type.shape

    assert [side.dim_value for side in shape.dim][:2] == [1, 4 + 5]


def test_an_onnx_file_is_taken_as_it_is(tmp_path: Path) -> None:
    assert as_onnx(tmp_path / "model.onnx", tmp_path) == tmp_path / "model.onnx"


@pytest.mark.parametrize(
    ("name", "content", "error", "said"),
    [
        ("cut.pt", b"PK", ModelError, "truncated"),
        ("odd.yaml", b"{", UsageError, "cannot be read as YAML"),
        ("data.yaml", b"train: images", UsageError, "is no model description"),
    ],
)
def test_what_is_no_model_is_refused(
    name: str, content: bytes, error: type[Exception], said: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(error, match=said):
        as_onnx(tmp_path / name, tmp_path / "out")
