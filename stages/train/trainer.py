"""Trainer: Ultralytics' training loop, with our pictures in and our snapshots out."""

from __future__ import annotations

import importlib
import math
import random
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from stages.train import EpochMetrics
from stages.train.pictures import Pictures
from stages.train.qat import quiet, rounded_of
from stages.yolo import DetectionTrainer
from targets.errors import EdgeboundError

if TYPE_CHECKING:
    from pathlib import Path

    from stages.artifact import Artifact
    from stages.dataset import Dataset
    from stages.stage import Progress
    from stages.train.snapshots import Snapshots

AMP_PATIENCE = 10  # batches; GradScaler gets over a loss that overflows now and then


@dataclass(frozen=True, kw_only=True)
class Course:
    """What a training run works with, its settings aside.

    Attributes:
        dataset: Prepared.
        pictures: Root of its pictures.
        work: Folder for whatever Ultralytics writes.
        snapshots: To write to, and to go on from.
        progress: To be told of each batch.
        amp: Mixed precision, if the device is a CUDA one.
        teacher: Module whose features are to be learned too.
    """

    dataset: Dataset
    pictures: Artifact
    work: Path
    snapshots: Snapshots
    progress: Progress
    amp: bool
    teacher: Any = None


class Trainer(DetectionTrainer):  # type: ignore[misc]  # its types are not followed
    """Ultralytics' trainer for a module that is given, `trainer.model = module`.

    Without loading processes (a CPU) and without gradients accumulated over batches (`nbs` no more than
    `batch`), training that was killed and resumed gives the very weights of training that was not.
    """

    def __init__(self, course: Course, settings: dict[str, Any]) -> None:
        self.course = course
        threads = torch.get_num_threads()
        super().__init__(overrides=settings)
        torch.set_num_threads(threads)  # Ultralytics leaves one core idle
        self.args.distill_model = course.teacher  # after the settings were checked, which know names only
        self.history: list[EpochMetrics] = []
        self.best_epoch = 0
        self.best_map = -math.inf
        self.validated = False
        self.batch_number = 0
        self.bad_batches = 0
        self.epoch_start_s = 0.0

    # ------------------------------------------------------------------------------------- what comes in
    def get_dataset(self) -> dict[str, Any]:
        """Give names instead of a data YAML, whose check would download a font."""
        names = dict(enumerate(self.course.dataset.class_names))
        return {"names": names, "nc": len(names), "channels": 3, "train": "train", "val": "val"}

    def build_dataset(self, img_path: str, mode: str = "train", batch: int | None = None) -> Pictures:
        """Give a split of the prepared data set."""
        del img_path
        dataset = self.course.dataset
        return Pictures(
            pictures=dataset.train if mode == "train" else dataset.val,
            root=self.course.pictures,
            links=self.course.work / mode,
            imgsz=self.args.imgsz,
            batch_size=batch,
            augment=mode == "train",
            hyp=self.args,
            rect=self.args.rect or mode == "val",
            cache=self.args.cache or None,
            stride=max(int(self.model.stride.max()), 32),
            pad=0.0 if mode == "train" else 0.5,
            data=self.data,
            task="detect",
        )

    def _setup_train(self) -> None:
        if not self.args.quantize:
            super()._setup_train()
            return
        with quiet():
            importlib.import_module("modelopt.torch.quantization")  # which draws random numbers
            _seed(self.args.seed)  # for the pictures from which ranges are found
            super()._setup_train()

    def _build_train_pipeline(self) -> None:
        self.args.distill_model = (
            None  # the teacher is built in by now, and the module has these settings too
        )
        # Ultralytics was told `amp: false`: it would download a model to try mixed precision with.
        self.amp = self.args.amp = self.course.amp and self.device.type == "cuda"
        self.scaler = torch.amp.GradScaler("cuda", enabled=self.amp)
        super()._build_train_pipeline()

    # ------------------------------------------------------------------------------------- what goes on
    def run_callbacks(self, event: str) -> None:
        """Call nobody's integrations; keep randomness, clock and progress."""
        if event == "on_train_epoch_start":
            self._start_epoch()
        elif event == "on_train_batch_end":
            self._end_batch()

    def _start_epoch(self) -> None:
        self.epoch_start_s = time.perf_counter()
        self.batch_number = 0
        self.validated = False
        # Randomness depends on seed and epoch alone, so that a resumed run draws the same.
        seed = (self.args.seed * 1_000_003 + self.epoch) % 2**32
        _seed(seed)
        self.train_loader.generator.manual_seed(seed)
        if self.train_loader.num_workers == 0:
            self.train_loader.reset()

    def _end_batch(self) -> None:
        self.batch_number += 1
        loss = self.loss.item()
        self.bad_batches = 0 if math.isfinite(loss) else self.bad_batches + 1
        if self.bad_batches >= (AMP_PATIENCE if self.amp else 1):
            raise self._diverged("loss", loss)
        done = self.epoch + self.batch_number / len(self.train_loader)
        mean = sum(float(part) for part in self.tloss.values())
        self.course.progress(done, self.epochs, f"epoch {self.epoch + 1}/{self.epochs}, loss {mean:.3f}")

    def validate(self) -> tuple[Any, Any]:
        """Measure the EMA weights."""
        self.course.progress(self.epoch + 1, self.epochs, f"epoch {self.epoch + 1}/{self.epochs}, validation")
        self.validated = True
        return super().validate()  # type: ignore[no-any-return]

    def _handle_nan_recovery(self, epoch: int) -> bool:
        """Stop instead of trying the epoch again, which costs hours and seldom helps."""
        del epoch
        if self.validated and not math.isfinite(self.fitness):
            raise self._diverged("mAP", self.fitness)
        return False

    def _diverged(self, what: str, value: float) -> EdgeboundError:
        return EdgeboundError(
            f"Training diverged: the {what} is {value} in epoch {self.epoch + 1} of {self.epochs}.",
            hint="Lower train.lr0 (and set train.optimizer, since auto chooses its own rate)"
            + (", or set train.amp to false." if self.amp else "."),
        )

    # ------------------------------------------------------------------------------------- what comes out
    def save_model(self) -> bool:
        """Write a snapshot, and the EMA weights if they are the best so far, in FP32."""
        self.history.append(self._metrics())
        ema = self.ema.ema.state_dict()
        if self.validated and self.fitness >= self.best_map:
            self.best_epoch, self.best_map = self.epoch + 1, float(self.fitness)
            self.course.snapshots.save_best(self.best_epoch, ema)
        stopper = self.stopper
        state = {
            "epoch": self.epoch,
            "finished": bool(self.stop),
            "history": [asdict(metrics) for metrics in self.history],
            "best_epoch": self.best_epoch,
            "best_map": self.best_map,
            "stopper": {"best_fitness": float(stopper.best_fitness or 0), "best_epoch": stopper.best_epoch},
            "model": self.model.state_dict(),
            "ema": ema,
            "rounded": rounded_of(self.ema.ema),
            "updates": self.ema.updates,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "buffer": list(self.train_loader.dataset.buffer),
            "device": self._device_name(),
        }
        self.course.snapshots.save(self.epoch + 1, state)
        return True

    def resume_training(self, ckpt: object) -> None:
        """Go on from the newest snapshot, if there is one."""
        del ckpt
        state = self.course.snapshots.load()
        if state is None:
            return
        self.start_epoch = state["epoch"] + 1
        self.history = [EpochMetrics(**metrics) for metrics in state["history"]]
        self.best_epoch, self.best_map = state["best_epoch"], state["best_map"]
        self.best_fitness = self.best_map
        self.stopper.__dict__.update(state["stopper"])
        self.model.load_state_dict(state["model"])
        self.ema.ema.load_state_dict(state["ema"])
        self.ema.updates = state["updates"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        if self.model.end2end:  # the weights of the two heads' losses shift with the epochs
            self.model.criterion = self.model.init_criterion()
            self.model.criterion.updates = self.start_epoch - 1
            self.model.criterion.update()
        if self.args.close_mosaic and self.start_epoch > self.epochs - self.args.close_mosaic:
            self._close_dataloader_mosaic()
        for number in state["buffer"]:  # pictures that mosaics may take from
            self.train_loader.dataset.load_image(number)

    def final_eval(self) -> None:
        """Leave judging the best weights to `verify`."""

    def _device_name(self) -> str:
        if self.device.type != "cuda":
            return str(self.device.type)
        return f"{self.device} ({torch.cuda.get_device_name(self.device)})"

    def _metrics(self) -> EpochMetrics:
        losses = {name: float(value) for name, value in self.tloss.items()}
        measured = self.metrics if self.validated else {}
        return EpochMetrics(
            epoch=self.epoch + 1,
            box_loss=losses["box_loss"],
            cls_loss=losses["cls_loss"],
            dfl_loss=losses.get("dfl_loss", losses.get("l1_loss", 0.0)),
            map50=measured.get("metrics/mAP50(B)"),
            map50_95=measured.get("metrics/mAP50-95(B)"),
            lr=max(group["lr"] for group in self.optimizer.param_groups),
            seconds=time.perf_counter() - self.epoch_start_s,
        )


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  (Ultralytics' augmentation draws from the global generator)
    torch.manual_seed(seed)
