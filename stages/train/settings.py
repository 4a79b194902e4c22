"""Settings: those of the stage, as Ultralytics and our own trainer take them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from stages.train.fitting import DEFAULT_BATCH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stages.dataset import Dataset
    from stages.train import Precision, Train
    from stages.train.course import Course

MAX_DET = 300  # Ultralytics' default
_WARM_UP = 0.05  # of all epochs
_WITHOUT_MOSAIC = 0.2  # of all epochs, at the end; Ultralytics' ten of a hundred leave short runs too little


def in_epochs(stage: Train, *, pictures: int) -> Train:
    """Give a stage whose `steps` are told in epochs, with a schedule that fits so few."""
    if not stage.steps:
        return stage
    batch = stage.batch if isinstance(stage.batch, int) and stage.batch > 0 else DEFAULT_BATCH
    a_epoch = math.ceil(pictures / batch)
    epochs = max(math.ceil(stage.steps / a_epoch), 2)
    schedule = {
        "nbs": batch,  # one optimizer step a batch
        "warmup_epochs": epochs * _WARM_UP,
        "close_mosaic": math.ceil(epochs * _WITHOUT_MOSAIC),
    }
    return replace(stage, batch=batch, epochs=epochs, overrides={**schedule, **stage.overrides})


def ultralytics_settings(stage: Train, course: Course, *, end2end: bool) -> dict[str, Any]:
    """Give Ultralytics' settings."""
    found = course.state["batch"] if course.state else course.batch or -1
    settings: dict[str, Any] = {
        **stage.overrides,
        "task": "detect",
        "mode": "train",
        "model": stage.weights,
        "save_dir": str(course.work / "ultralytics"),
        "epochs": stage.epochs,
        "imgsz": stage.imgsz,
        "batch": found,
        "device": stage.device,
        "seed": stage.seed,
        "amp": False,
        "optimizer": stage.optimizer,
        "lr0": stage.lr0,
        "patience": stage.patience,
        "workers": stage.workers,
        "cache": stage.cache or False,
        "plots": False,
        "verbose": False,
        "max_det": max_det(course.dataset),
        "dis": stage.distill_weight,
        "quantize": 8 if stage.int8 else None,
    }
    if end2end:
        settings["nms"] = False  # validate the head that is exported
    return settings


def asked_batch(stage: Train, state: Mapping[str, Any] | None) -> int:
    """Give the batch that was asked for; of `auto`, what it was found to be, and 0 before."""
    if isinstance(stage.batch, int) and stage.batch > 0:
        return stage.batch
    return int(state["asked_batch"]) if state else 0


def precision_of(stage: Train) -> Precision | Literal["auto"]:
    """Give the precision that `amp` means."""
    if isinstance(stage.amp, bool):
        return "auto" if stage.amp else "fp32"
    return stage.amp


def max_det(dataset: Dataset) -> int:
    """Give how many objects a picture may have."""
    most = max((len(picture.boxes) for picture in (*dataset.train, *dataset.val)), default=0)
    return max(MAX_DET, most)
