"""The sketch: a model as training would begin with it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stages.artifact import Artifact
from stages.stage import no_progress
from stages.train import TrainInputs
from stages.train.sketch import Sketch
from targets.errors import ModelError
from targets.model import load_model_spec


def sketch(weights: Path, drawn: tuple[Artifact, Artifact], out: Path) -> Artifact:
    out.mkdir()
    inputs = TrainInputs(index=drawn[0], pictures=drawn[1], weights=Artifact.of(weights))
    return Sketch(weights=weights.name, imgsz=96).run(inputs, out, no_progress).checkpoint


@pytest.fixture
def description(small_yaml: Callable[..., str], tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(small_yaml())
    return path


def test_it_has_the_classes_of_the_data_set_and_the_size_of_training(
    description: Path, drawn: tuple[Artifact, Artifact], tmp_path: Path
) -> None:
    spec = load_model_spec(sketch(description, drawn, tmp_path / "out").path)

    assert spec.class_names == ("hole", "scratch", "stain")
    assert (spec.input.height, spec.input.width) == (96, 96)


def test_the_same_description_gives_the_same_sketch(
    description: Path, drawn: tuple[Artifact, Artifact], tmp_path: Path
) -> None:
    first, second = (sketch(description, drawn, tmp_path / name) for name in ("a", "b"))

    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()


def test_a_broken_checkpoint_is_refused_before_anybody_trains(
    drawn: tuple[Artifact, Artifact], tmp_path: Path
) -> None:
    (tmp_path / "broken.pt").write_bytes(b"no checkpoint")

    with pytest.raises(ModelError, match="truncated"):
        sketch(tmp_path / "broken.pt", drawn, tmp_path / "out")
