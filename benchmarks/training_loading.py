"""Loading: how many pictures a second one process makes ready, by side, mosaic and cache; and its parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2

from benchmarks.training_runs import inputs_of, prepare
from stages.train import LoaderTrial, PictureCache, Train, TrainInputs
from stages.train.parts import measure_parts
from stages.train.session import idle_trainer
from stages.train.tuning import scratch

MODEL = "yolov8n.yaml"  # which has no part in this, but a trainer has to have one
PICTURES, SIDE = 64, 1280  # as JPEG
CACHES: tuple[PictureCache, ...] = ("", "disk", "resized", "ram")


def loading(folder: Path, *, sides: Sequence[int]) -> list[dict[str, Any]]:
    """Load the same rendered pictures in every way."""
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
    stage = Train(imgsz=side, batch=16, device="cpu", weights=MODEL, overrides={"mosaic": mosaic})
    out.mkdir()
    trainer = idle_trainer(stage, inputs, out)
    what = {"what": "loading in one process", "imgsz": side, "mosaic": mosaic}
    with scratch(trainer) as measure:
        tried = [measure(LoaderTrial(workers=0, prefetch=0, cache=cache)) for cache in CACHES]
    parts = measure_parts(trainer.build_dataset("", "train", 16), trainer.args, seconds=5.0, pin=False)
    rows = [{**what, "cache": one.cache or "off", "img_s": one.img_s} for one in tried]
    return [*rows, {**what, "what": "parts of loading, ms a picture", "cache": "off", **vars(parts)}]
