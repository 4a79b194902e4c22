"""Training for real, on pictures of 64 px."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stages.artifact import Artifact
from stages.checkpoint import load_module
from stages.export import Export, ExportInputs
from stages.stage import no_progress
from stages.train import Train, Trained, TrainInputs
from stages.weights import find_weights
from stages.yolo import load_checkpoint
from targets.errors import EdgeboundError, UsageError
from targets.model import load_model_spec

pytestmark = pytest.mark.slow  # they load torch, and train or export

Drawn = tuple[Artifact, Artifact]
EXACT = {"nbs": 4, "close_mosaic": 1}  # with no gradient carried from batch to batch, resuming is exact


@pytest.fixture
def small(tmp_path: Path, small_yaml: Callable[..., str]) -> Artifact:
    torch.set_num_threads(1)
    (tmp_path / "small.yaml").write_text(small_yaml())
    return Artifact.of(tmp_path / "small.yaml")


def train(
    drawn: Drawn,
    weights: Artifact,
    out: Path,
    *,
    stop_at: float = 1e9,
    modules: tuple[str, ...] = (),
    **settings,
) -> Trained:
    def progress(done: float, total: float, note: str = "") -> None:
        if done > stop_at:
            raise KeyboardInterrupt

    out.mkdir(parents=True, exist_ok=True)
    stage = Train(**{"epochs": 2, "imgsz": 64, "batch": 4, "device": "cpu", "overrides": EXACT, **settings})
    inputs = TrainInputs(index=drawn[0], pictures=drawn[1], weights=weights, modules=modules)
    return stage.run(inputs, out, progress)


def test_training_gives_a_checkpoint_and_the_course_of_it(
    drawn: Drawn, small: Artifact, tmp_path: Path
) -> None:
    notes = []
    inputs = TrainInputs(index=drawn[0], pictures=drawn[1], weights=small)
    stage = Train(epochs=2, imgsz=64, batch=4, device="cpu")

    trained = stage.run(
        inputs, tmp_path / "out", lambda done, total, note="": notes.append((done, total, note))
    )

    spec = load_model_spec(trained.checkpoint.path)
    assert [epoch.epoch for epoch in trained.epochs] == [1, 2]
    assert all(
        epoch.box_loss > 0 and epoch.map50 is not None and epoch.seconds > 0 for epoch in trained.epochs
    )
    assert trained.device == "cpu"
    assert any("Mixed precision is off" in note for note in trained.notes)
    assert notes[0][:2] == (pytest.approx(1 / 3), 2)
    assert notes[0][2].startswith("epoch 1/2, loss ")
    assert (spec.class_names, spec.input.width, spec.data_digest) == (
        ("hole", "scratch", "stain"),
        64,
        drawn[0].digest,
    )


def test_the_same_seed_gives_the_same_bytes(drawn: Drawn, small: Artifact, tmp_path: Path) -> None:
    first, second, other = (
        train(drawn, small, tmp_path / name, epochs=1, seed=seed)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )

    assert first.checkpoint.digest == second.checkpoint.digest
    assert first.checkpoint.digest != other.checkpoint.digest


def test_a_training_of_two_heads_that_was_interrupted_ends_with_the_same_bytes(
    drawn: Drawn, tmp_path: Path
) -> None:
    weights = find_weights("yolo26n.yaml", tmp_path, tmp_path)
    whole = train(drawn, weights, tmp_path / "whole", epochs=3)
    with pytest.raises(KeyboardInterrupt):
        train(drawn, weights, tmp_path / "pieces", epochs=3, stop_at=1.5)

    pieces = train(drawn, weights, tmp_path / "pieces", epochs=3)

    assert pieces.checkpoint.digest == whole.checkpoint.digest
    assert [epoch.epoch for epoch in pieces.epochs] == [1, 2, 3]
    assert [epoch.box_loss for epoch in pieces.epochs] == [epoch.box_loss for epoch in whole.epochs]


def test_a_run_that_was_killed_after_its_last_epoch_does_not_train_again(
    drawn: Drawn, small: Artifact, tmp_path: Path
) -> None:
    first = train(drawn, small, tmp_path / "out")

    again = train(drawn, small, tmp_path / "out", stop_at=0)

    assert again.checkpoint.digest == first.checkpoint.digest
    assert again.epochs == first.epochs


def test_the_last_epoch_counts_where_nothing_was_validated_before(
    drawn: Drawn, small: Artifact, tmp_path: Path
) -> None:
    trained = train(drawn, small, tmp_path / "out", epochs=3, overrides={"val": False, **EXACT})

    assert [epoch.map50 is None for epoch in trained.epochs] == [True, True, False]
    assert trained.best_epoch == 3


def test_weights_are_of_the_best_epoch_in_full_precision(
    drawn: Drawn, small: Artifact, tmp_path: Path
) -> None:
    trained = train(drawn, small, tmp_path / "out", epochs=3)
    best = torch.load(tmp_path / "out" / "snapshots" / f"best-{trained.best_epoch:05d}.pt", weights_only=True)

    weights = load_module(trained.checkpoint).state_dict()

    assert all(torch.equal(weights[name], tensor) for name, tensor in best.items())
    assert not torch.equal(weights["model.0.conv.weight"], weights["model.0.conv.weight"].half().float())


def test_modules_of_the_user_train_resume_and_export(
    drawn: Drawn, small_yaml: Callable[..., str], blocks: str, tmp_path: Path
) -> None:
    (tmp_path / "gate.yaml").write_text(small_yaml("ChannelGate", 16))
    gate = Artifact.of(tmp_path / "gate.yaml")
    with pytest.raises(KeyboardInterrupt):
        train(drawn, gate, tmp_path / "out", modules=(blocks,), stop_at=1.5)

    trained = train(drawn, gate, tmp_path / "out", modules=(blocks,))
    exported = Export().run(ExportInputs(checkpoint=trained.checkpoint), tmp_path / "onnx", no_progress)

    assert type(load_module(trained.checkpoint).model[3]).__name__ == "ChannelGate"
    assert (exported.onnx / "model.onnx").is_file()


def test_one_can_go_on_in_ultralytics(drawn: Drawn, small: Artifact, tmp_path: Path) -> None:
    trained = train(drawn, small, tmp_path / "out")

    module, _ = load_checkpoint(str(trained.checkpoint / "best.pt"))
    again = train(drawn, Artifact.of(trained.checkpoint / "best.pt"), tmp_path / "on", epochs=1)

    assert module.names == {0: "hole", 1: "scratch", 2: "stain"}
    assert again.notes[0].split()[0] == again.notes[0].split()[2]


def test_no_epochs_take_the_weights_as_they_are(
    drawn: Drawn, checkpoint_of: Callable[..., Artifact], tmp_path: Path
) -> None:
    source = checkpoint_of("yolo26n")

    trained = train(drawn, Artifact.of(source / "best.pt"), tmp_path / "out", epochs=0)

    ours, given = load_module(trained.checkpoint).state_dict(), load_module(source).state_dict()
    assert (trained.epochs, trained.best_epoch) == ((), 0)
    assert all(torch.equal(ours[name], given[name]) for name in given)
    assert load_model_spec(trained.checkpoint.path).output == "end2end"


def test_pictures_and_their_folder_stay_as_they_are(drawn: Drawn, small: Artifact, tmp_path: Path) -> None:
    train(drawn, small, tmp_path / "out", epochs=1, cache="disk")

    assert Artifact.of(drawn[1].path).digest == drawn[1].digest


def test_a_loss_that_is_no_number_stops_training(drawn: Drawn, small: Artifact, tmp_path: Path) -> None:
    beyond_float32 = {"box": 1e39, **EXACT}

    with pytest.raises(
        EdgeboundError, match=r"the loss is (inf|nan) at batch 1 in epoch 1 of 2\. The batch had 0\.png, "
    ) as caught:
        train(drawn, small, tmp_path / "out", overrides=beyond_float32)

    assert "train.lr0" in caught.value.hint


@pytest.mark.parametrize(
    ("settings", "what", "hint"),
    [
        ({"imgsz": 100}, "imgsz: 100", "Set train.imgsz to 96"),
        ({"device": "first"}, "names no device", "`cpu`"),
        ({"amp": "fp16"}, "fp16 needs an NVIDIA GPU", "auto or fp32"),
        ({"lr0": 7.0}, "lr0", "usage/cfg"),
        ({"overrides": {"mosaic": "much"}}, "mosaic", "usage/cfg"),
        ({"overrides": {"mosiac": 1}}, "mosiac", "mosaic"),
        ({"epochs": 0}, "a model description has none", ".pt"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_refused_before_training(
    settings: dict[str, object], what: str, hint: str, drawn: Drawn, small: Artifact, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=what) as caught:
        train(drawn, small, tmp_path / "out", **settings)

    assert hint in caught.value.hint
    assert "\n" not in caught.value.what


def test_weights_for_other_classes_are_refused_without_training(
    drawn: Drawn, test_data: Path, tmp_path: Path
) -> None:
    weights = Artifact.of(test_data / "weights" / "yolov8n-from-int8.pt")

    with pytest.raises(UsageError, match="the weights know 80 classes, the data set has 3"):
        train(drawn, weights, tmp_path / "out", epochs=0)
