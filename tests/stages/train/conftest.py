"""Trainings that are small enough to run many of them."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from stages.artifact import Artifact
from stages.dataset import Dataset, Picture, save_dataset
from stages.train import Train, Trained, TrainInputs

Run = Callable[..., Trained]
EXACT = {"nbs": 4, "close_mosaic": 1}
# Two batches to a step of the optimizer and three to an epoch: every other epoch ends between two steps.
HALF_A_STEP = {"nbs": 8, "warmup_epochs": 1.0, "close_mosaic": 1}


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


@pytest.fixture
def large(tmp_path: Path, small: Artifact) -> Run:
    """Give a function that trains on noise of odd sizes, most of it larger than 96 px."""
    random = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    sizes = [(150, 91), (97, 201), (96, 96), (70, 40)] * 3
    drawn = []
    for number, (width, height) in enumerate(sizes):
        path = tmp_path / "pictures" / f"{number}.png"
        cv2.imwrite(str(path), random.integers(0, 255, (height, width, 3), np.uint8))
        box = np.array([[number % 3, 0.5, 0.5, 0.4, 0.4]])
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        drawn.append(
            Picture(
                file=path.name, sha256=digest, width=width, height=height, boxes=box,
                crowd=np.zeros(1, np.bool_),
            )
        )  # fmt: skip
    (tmp_path / "index").mkdir()
    dataset = Dataset(class_names=("a", "b", "c"), train=tuple(drawn), val=tuple(drawn[:4]), calibration=())
    save_dataset(dataset, tmp_path / "index")
    index, pictures = Artifact.of(tmp_path / "index"), Artifact.of(tmp_path / "pictures")

    def train(name: str, *, stop_at: float = 1e9, **settings: object) -> Trained:
        def progress(done: float, total: float, note: str = "") -> None:
            if done > stop_at:
                raise KeyboardInterrupt

        (tmp_path / name).mkdir(exist_ok=True)
        given = {"epochs": 2, "imgsz": 96, "batch": 4, "device": "cpu", "overrides": EXACT, **settings}
        inputs = TrainInputs(index=index, pictures=pictures, weights=small)
        return Train(**given).run(inputs, tmp_path / name, progress)

    return train
