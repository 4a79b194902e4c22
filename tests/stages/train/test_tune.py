"""Fine-tuning: going on with our own checkpoint, with a teacher, for so many optimizer steps."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stages.artifact import Artifact
from stages.checkpoint import load_module
from stages.train import Train, Trained, TrainInputs
from targets.errors import UsageError

pytestmark = pytest.mark.slow  # they load torch, and train

Drawn = tuple[Artifact, Artifact]


@pytest.fixture(scope="module")
def first(drawn: Drawn, small_yaml: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("first")
    (folder / "small.yaml").write_text(small_yaml())
    return train(drawn, Artifact.of(folder / "small.yaml"), folder / "out", epochs=1)


def train(
    drawn: Drawn,
    weights: Artifact,
    out: Path,
    *,
    teacher: Artifact | None = None,
    stop_at: float = 1e9,
    **settings,
) -> Trained:
    def progress(done: float, total: float, note: str = "") -> None:
        if done > stop_at:
            raise KeyboardInterrupt

    out.mkdir(parents=True, exist_ok=True)
    stage = Train(imgsz=64, batch=4, device="cpu", **settings)
    inputs = TrainInputs(index=drawn[0], pictures=drawn[1], weights=weights, teacher=teacher)
    return stage.run(inputs, out, progress)


def weights_of(trained: Trained) -> dict[str, torch.Tensor]:
    return load_module(trained.checkpoint).state_dict()


def test_training_goes_on_from_our_own_checkpoint(drawn: Drawn, first: Trained, tmp_path: Path) -> None:
    kept = train(drawn, first.checkpoint, tmp_path / "kept", epochs=0)
    tuned = train(drawn, first.checkpoint, tmp_path / "tuned", epochs=0, steps=3)

    before, same, after = weights_of(first), weights_of(kept), weights_of(tuned)
    assert all(torch.equal(before[name], same[name]) for name in before)
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_steps_are_optimizer_steps_whatever_the_number_of_pictures(
    drawn: Drawn, first: Trained, tmp_path: Path
) -> None:
    steps: list[float] = []

    class Counted(torch.optim.AdamW):
        pass

    original = torch.optim.AdamW.step

    def count(self, *args, **kwargs):
        steps.append(1)
        return original(self, *args, **kwargs)

    torch.optim.AdamW.step = count
    try:
        tuned = train(drawn, first.checkpoint, tmp_path, steps=7, optimizer="AdamW", patience=0)
    finally:
        torch.optim.AdamW.step = original

    assert 7 <= len(steps) < 7 + 7
    assert len(tuned.epochs) >= 2


def test_a_teacher_changes_what_is_learned_and_leaves_no_trace(
    drawn: Drawn, first: Trained, tmp_path: Path
) -> None:
    alone = train(drawn, first.checkpoint, tmp_path / "alone", steps=6)
    taught = train(drawn, first.checkpoint, tmp_path / "taught", steps=6, teacher=first.checkpoint)
    module = load_module(taught.checkpoint)

    names = weights_of(first).keys()
    assert module.state_dict().keys() == names
    assert any(not torch.equal(weights_of(alone)[name], module.state_dict()[name]) for name in names)
    assert not any(layer._forward_hooks for layer in module.model)


def test_a_killed_fine_tuning_with_a_teacher_ends_as_an_uninterrupted_one(
    drawn: Drawn, first: Trained, tmp_path: Path
) -> None:
    settings = {"epochs": 3, "overrides": {"nbs": 4, "close_mosaic": 1}, "teacher": first.checkpoint}
    whole = train(drawn, first.checkpoint, tmp_path / "whole", **settings)
    with pytest.raises(KeyboardInterrupt):
        train(drawn, first.checkpoint, tmp_path / "killed", stop_at=2.1, **settings)

    resumed = train(drawn, first.checkpoint, tmp_path / "killed", **settings)

    assert resumed.checkpoint.digest == whole.checkpoint.digest


def test_a_teacher_teaches_two_ranks(drawn: Drawn, first: Trained, tmp_path: Path) -> None:
    settings = {"epochs": 1, "ranks": 2, "overrides": {"nbs": 4, "close_mosaic": 1}}
    alone = train(drawn, first.checkpoint, tmp_path / "alone", **settings)

    taught = train(drawn, first.checkpoint, tmp_path / "taught", teacher=first.checkpoint, **settings)

    assert taught.checkpoint.digest != alone.checkpoint.digest
    assert weights_of(taught).keys() == weights_of(first).keys()


def test_a_teacher_of_other_classes_is_refused(drawn: Drawn, first: Trained, tmp_path: Path) -> None:
    import json
    import shutil

    other = tmp_path / "other"
    shutil.copytree(first.checkpoint.path, other)
    record = json.loads((other / "model.json").read_text())
    record["class_names"] = ["cat", "dog", "bird"]
    (other / "model.json").write_text(json.dumps(record))

    with pytest.raises(UsageError, match=r"The teacher knows other classes \(cat, dog, bird\)"):
        train(drawn, first.checkpoint, tmp_path / "out", epochs=1, teacher=Artifact.of(other))
