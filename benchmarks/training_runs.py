"""Whole trainings of one model on the same pictures with the same settings: ours, and plain Ultralytics'."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.artifact import Artifact
from stages.data import Data, DataInputs
from stages.data.demo import render_demo
from stages.data.source import anchor
from stages.stage import no_progress
from stages.train import PictureCache, Train, TrainInputs
from stages.weights import find_weights
from stages.yolo import DetectionTrainer

# Both sides validate after the last epoch only, and write a checkpoint after each.
SHARED: dict[str, Any] = {"val": False, "close_mosaic": 0, "nbs": 8}


@dataclass(frozen=True, kw_only=True)
class Course:
    """What is trained, and how.

    Attributes:
        model: Its description; it starts from fresh weights.
        imgsz: Side, in pixels.
        batch: Pictures at once.
        epochs: Times that all pictures are seen.
        device: As Ultralytics names it.
    """

    model: str
    imgsz: int
    batch: int
    epochs: int
    device: str

    @property
    def amp(self) -> bool:
        """Mixed precision, where there is a GPU."""
        return self.device != "cpu"


@dataclass(kw_only=True)
class Took:
    """From the end of the first batch to the end of the last, so that nothing of the start is in it.

    Attributes:
        batches: Ends seen so far.
        wall_s: Between the first and the last.
        cpu_s: Likewise, of this process.
        batch: Pictures in each.
    """

    batch: int
    batches: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    _begin: tuple[float, float] = field(default=(0.0, 0.0))

    def end_batch(self) -> None:
        """Take note that a batch is done."""
        now = (time.perf_counter(), time.process_time())
        if self.batches == 0:
            self._begin = now
        self.batches += 1
        self.wall_s, self.cpu_s = now[0] - self._begin[0], now[1] - self._begin[1]

    @property
    def img_s(self) -> float:
        """Pictures a second."""
        return self.batch * (self.batches - 1) / self.wall_s


def prepare(folder: Path, *, train: int, val: int, size_px: int) -> Path:
    """Render a data set and give its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    render_demo(folder / "data", train=train, val=val, size_px=size_px, seed=0, progress=no_progress)
    return folder / "data"


def inputs_of(model: str, data: Path, out: Path) -> TrainInputs:
    """Check a data set, and give what training starts from."""
    out.mkdir(parents=True)
    anchored = anchor(Data(path=str(data / "data.yaml")), out)
    (out / "check").mkdir()
    prepared = anchored.data.run(DataInputs(source=anchored.source), out / "check", no_progress)
    return TrainInputs(
        index=prepared.index,
        pictures=Artifact(anchored.source.path, prepared.pictures_digest),
        weights=find_weights(model, out, out),
    )


def train_ours(
    course: Course, data: Path, out: Path, *, cache: PictureCache = "", tuned: bool = False
) -> Took:
    """Train with the train stage; `tuned` has it look for settings of loading first, which is not timed."""
    inputs = inputs_of(course.model, data, out)
    stage = Train(
        epochs=course.epochs,
        imgsz=course.imgsz,
        batch=course.batch,
        device=course.device,
        amp="fp16" if course.amp else "fp32",
        optimizer="SGD",
        workers=_workers(course),
        cache=cache,
        autotune_loader=tuned,
        weights=course.model,
        overrides=SHARED,
    )
    took = Took(batch=course.batch)

    def progress(done: float, total: float, note: str = "") -> None:
        del done, total
        if "loss" in note:  # told at the end of a batch, and only there
            took.end_batch()

    stage.run(inputs, out, progress)
    return took


def train_stock(course: Course, data: Path, out: Path) -> Took:
    """Train as `yolo train` does, with its defaults but for what both sides share."""
    trainer = DetectionTrainer(
        overrides={
            **SHARED,
            "model": course.model,
            "data": str(data / "data.yaml"),
            "epochs": course.epochs,
            "imgsz": course.imgsz,
            "batch": course.batch,
            "device": course.device,
            "amp": course.amp,
            "optimizer": "SGD",
            "workers": _workers(course),
            "project": str(out),
            "plots": False,
            "verbose": False,
        }
    )
    took = Took(batch=course.batch)
    trainer.add_callback("on_train_batch_end", lambda _: took.end_batch())
    trainer.train()
    return took


def _workers(course: Course) -> int:
    return 8 if course.amp else 0
