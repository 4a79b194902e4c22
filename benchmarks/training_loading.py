"""Loading: what one picture costs a process on its way into a batch, by side, mosaic and cache."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2

from benchmarks.training_runs import inputs_of, prepare
from stages.train import PictureCache, Train, TrainInputs
from stages.train.loading import pictures_of
from stages.train.pictures import Pictures
from stages.train.session import idle_trainer

MODEL = "yolov8n.yaml"  # which has no part in this, but a trainer has to have one
PICTURES, SIDE = 32, 1280  # as JPEG
BATCH = 16
CACHES: tuple[PictureCache, ...] = ("", "disk", "resized", "ram")


def loading(folder: Path, *, sides: Sequence[int]) -> list[dict[str, Any]]:
    """Load the same rendered pictures in every way; in processor time, since others may use the machine."""
    inputs = inputs_of(MODEL, prepare(folder, train=PICTURES, val=8, size_px=SIDE), folder / "inputs")
    threads = cv2.getNumThreads()
    cv2.setNumThreads(0)  # as in training
    try:
        return [
            row
            for side in sides
            for mosaic in (1.0, 0.0)
            for row in _rows(inputs, folder / f"{side}-{mosaic}", side=side, mosaic=mosaic)
        ]
    finally:
        cv2.setNumThreads(threads)


def _rows(inputs: TrainInputs, out: Path, *, side: int, mosaic: float) -> list[dict[str, Any]]:
    stage = Train(imgsz=side, batch=BATCH, device="cpu", weights=MODEL, overrides={"mosaic": mosaic})
    out.mkdir()
    trainer = idle_trainer(stage, inputs, out)
    rows = []
    for cache in CACHES:
        dataset = pictures_of(
            trainer,
            trainer.course.dataset.train,
            links=out / f"cache-{cache}",
            cache=cache,
            batch=BATCH,
            augment=True,
        )
        _load(dataset, epoch=0)  # fills what mosaics take from
        cpu_ms = 1000 * min(_load(dataset, epoch=epoch) for epoch in (1, 2)) / len(dataset)
        what = {"what": "loading, one process", "imgsz": side, "mosaic": mosaic, "cache": cache or "off"}
        rows.append({**what, "cpu_ms": cpu_ms, "img_s": 1000 / cpu_ms})
    return rows


def _load(dataset: Pictures, *, epoch: int) -> float:
    """Load all pictures into batches; give the seconds of processor time."""
    begin = time.process_time()
    for first in range(0, len(dataset), BATCH):
        numbers = range(first, min(first + BATCH, len(dataset)))
        dataset.collate_fn([dataset[epoch, number] for number in numbers])
    return time.process_time() - begin
