"""Trainings that are small enough to run many of them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stages.artifact import Artifact
from stages.train import Train, Trained, TrainInputs

Run = Callable[..., Trained]


@pytest.fixture
def small(tmp_path: Path, small_yaml: Callable[..., str]) -> Artifact:
    """Give the description of a model with two levels."""
    torch.set_num_threads(1)
    (tmp_path / "small.yaml").write_text(small_yaml())
    return Artifact.of(tmp_path / "small.yaml")


@pytest.fixture
def run(drawn: tuple[Artifact, Artifact], small: Artifact) -> Run:
    """Give a function that trains `small` for two epochs of three batches, or as its settings say."""

    def train(
        out: Path,
        *,
        stop_at: float = 1e9,
        weights: Artifact = small,
        told: list[str] | None = None,
        **settings: object,
    ) -> Trained:
        def progress(done: float, total: float, note: str = "") -> None:
            if told is not None:
                told.append(note)
            if done > stop_at:
                raise KeyboardInterrupt

        out.mkdir(parents=True, exist_ok=True)
        stage = Train(**{"epochs": 2, "imgsz": 64, "batch": 4, "device": "cpu", **settings})
        inputs = TrainInputs(index=drawn[0], pictures=drawn[1], weights=weights)
        return stage.run(inputs, out, progress)

    return train
