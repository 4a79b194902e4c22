import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stages.artifact import Artifact
from stages.checkpoint import load_module, save_checkpoint
from stages.train.start import load_start
from stages.yolo import load_checkpoint
from targets.errors import ModelError
from targets.model import InputSpec, ModelSpec, load_model_spec

pytestmark = pytest.mark.slow  # they load torch, and train or export

SLOW = pytest.mark.slow
FAMILIES = [
    "yolo11n",
    "yolo26n",
    *(pytest.param(name, marks=SLOW) for name in ("yolov5n", "yolov8n", "yolov9t", "yolov10n", "yolo12n")),
]
CheckpointOf = Callable[..., Artifact]


def answer(module: torch.nn.Module) -> torch.Tensor:
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return module.eval()(images)[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_rebuilt_module_answers_like_the_one_in_best_pt(family: str, checkpoint_of: CheckpointOf) -> None:
    checkpoint = checkpoint_of(family)

    rebuilt = load_module(checkpoint)
    original, _ = load_checkpoint(str(checkpoint / "best.pt"))

    assert torch.equal(answer(rebuilt), answer(original))
    assert rebuilt.names == original.names == {0: "hole", 1: "scratch", 2: "stain"}
    assert {tensor.dtype for tensor in rebuilt.state_dict().values()} == {torch.float32, torch.int64}


def test_a_checkpoint_holds_no_more_than_its_four_files(checkpoint_of: CheckpointOf) -> None:
    checkpoint = checkpoint_of("yolo11n")

    assert {path.name for path in checkpoint.path.iterdir()} == {
        "architecture.json",
        "best.pt",
        "model.json",
        "model.safetensors",
    }
    assert load_model_spec(checkpoint.path).family == "yolo11n"


def test_saving_again_gives_the_same_bytes(checkpoint_of: CheckpointOf, tmp_path: Path) -> None:
    checkpoint = checkpoint_of("yolo11n")

    save_checkpoint(
        load_module(checkpoint),
        spec=load_model_spec(checkpoint.path),
        packages=(),
        folder=tmp_path / "again",
    )

    assert Artifact.of(tmp_path / "again").digest == checkpoint.digest


def test_the_wide_class_branch_of_pretrained_weights_is_kept(test_data: Path, tmp_path: Path) -> None:
    start = load_start(
        test_data / "weights" / "yolov8n-from-int8.pt", "", class_names=("cell", "plate"), packages=()
    )
    spec = ModelSpec(family="yolov8n", class_names=("cell", "plate"), input=InputSpec(64, 64))

    save_checkpoint(start.module, spec=spec, packages=(), folder=tmp_path / "checkpoint")
    rebuilt = load_module(Artifact.of(tmp_path / "checkpoint"))

    assert rebuilt.model[-1].cv3[0][0].conv.out_channels == 80  # COCO's; from its YAML alone it would be 64
    assert torch.equal(answer(rebuilt), answer(start.module))


def test_a_module_changed_by_hand_is_refused(checkpoint_of: CheckpointOf, tmp_path: Path) -> None:
    checkpoint = checkpoint_of("yolo11n")
    module = load_module(checkpoint)
    module.model[0].act = torch.nn.ReLU()

    with pytest.raises(ModelError, match="changed after it was built"):
        save_checkpoint(
            module, spec=load_model_spec(checkpoint.path), packages=(), folder=tmp_path / "checkpoint"
        )

    assert not (tmp_path / "checkpoint").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "architecture.json", "model.json"])
def test_a_damaged_checkpoint_is_refused(name: str, checkpoint_of: CheckpointOf, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(checkpoint_of("yolo11n").path, folder)
    (folder / name).write_bytes((folder / name).read_bytes()[:100])

    with pytest.raises(ModelError, match=name):
        load_module(Artifact(folder, ""))


def test_weights_of_another_model_are_refused(checkpoint_of: CheckpointOf, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(checkpoint_of("yolo11n").path, folder)
    shutil.copy(checkpoint_of("yolo26n") / "model.safetensors", folder)

    with pytest.raises(ModelError, match="does not hold the weights"):
        load_module(Artifact(folder, ""))
