"""Trainer: Ultralytics' training loop, with our pictures in, our snapshots out, and our eyes on the loss."""

from __future__ import annotations

import importlib
import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from stages.train import EpochMetrics, PrecisionProbe
from stages.train.alignment import align
from stages.train.feeder import Feeder
from stages.train.fitting import choose_precision, fit_batch
from stages.train.guard import LossGuard, diverged
from stages.train.loading import PREFETCH, pictures_of, put_in_order
from stages.train.order import draw_from, mix
from stages.train.parallel import join, wrap
from stages.train.precisions import Mode, set_tf32
from stages.train.qat import quiet
from stages.train.resume import give_gradients, restore, state_of
from stages.train.tracking import STEPS_AN_EPOCH
from stages.train.tuning import tune_loader
from stages.yolo import DetectionTrainer

if TYPE_CHECKING:
    from stages.train.course import Course
    from stages.train.figures import PictureCache
    from stages.train.pictures import Pictures


class Trainer(DetectionTrainer):  # type: ignore[misc]  # its types are not followed
    """Ultralytics' trainer for a module that is given, `trainer.model = module`.

    Training that was killed and resumed gives the very weights of training that was not, on a CPU: what is
    random depends on seed, epoch and picture alone, and a snapshot has all the rest.
    """

    def __init__(self, course: Course, settings: dict[str, Any]) -> None:
        self.course = course
        threads = torch.get_num_threads()
        self.model: Any
        self.batch_size: int
        super().__init__(overrides=settings)
        torch.set_num_threads(threads)  # Ultralytics leaves one core idle
        self.args.distill_model = course.teacher  # after the settings were checked, which know names only
        self.world_size = course.place.ranks
        self.ddp = False  # Ultralytics would start processes of its own, with a trainer of its own
        self.history: list[EpochMetrics] = []
        self.probe: list[PrecisionProbe] = []
        self.best_epoch = 0
        self.best_map = -math.inf
        self.validated = False
        self.batch_number = 0
        self.batch_files: list[str] = []
        self.feeder = Feeder()
        self.prefetch = PREFETCH
        self.pending = 0  # batches whose gradients are summed up since the optimizer's last step
        self.epoch_start_s = 0.0

    @property
    def raw_model(self) -> Any:
        """The model without what distributes it."""
        return getattr(self.model, "module", self.model)

    @property
    def device_name(self) -> str:
        """The device, for people."""
        if self.device.type != "cuda":
            return str(self.device.type)
        return f"{self.device} ({torch.cuda.get_device_name(self.device)})"

    # ------------------------------------------------------------------------------------- what comes in
    def get_dataset(self) -> dict[str, Any]:
        """Give names instead of a data YAML, whose check would download a font."""
        names = dict(enumerate(self.course.dataset.class_names))
        return {"names": names, "nc": len(names), "channels": 3, "train": "train", "val": "val"}

    def build_dataset(self, img_path: str, mode: str = "train", batch: int | None = None) -> Pictures:
        """Give a split of the prepared data set."""
        del img_path
        training, dataset = mode == "train", self.course.dataset
        cache: PictureCache = self.args.cache or ""
        return pictures_of(
            self,
            dataset.train if training else dataset.val,
            links=self.course.work / mode,
            cache="" if cache == "resized" and not training else cache,  # boxes are judged in whole pictures
            batch=batch,
            augment=training,
        )

    def get_dataloader(
        self, dataset_path: str, batch_size: int = 16, rank: int = 0, mode: str = "train"
    ) -> Any:
        """Give Ultralytics' loader, with our order of the pictures to train on."""
        loader = super().get_dataloader(dataset_path, batch_size, rank, mode)
        return put_in_order(loader, self, prefetch=self.prefetch) if mode == "train" else loader

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Remember which pictures these are, in case the loss goes wrong on them."""
        self.batch_files = batch["im_file"]
        return super().preprocess_batch(batch)  # type: ignore[no-any-return]

    # ------------------------------------------------------------------------------------- how it is set up
    def _setup_ddp(self) -> None:
        self.device = join(self.course.place, self.args.device)

    def _setup_train(self) -> None:
        self.world_size = 1  # or Ultralytics distributes the model, in a way that a CPU refuses
        if not self.args.quantize:
            super()._setup_train()
            return
        with quiet():
            importlib.import_module("modelopt.torch.quantization")  # which draws random numbers
            self._seed(mix(self.args.seed))  # for the pictures from which ranges are found
            super()._setup_train()

    def auto_batch(self) -> int:
        """Leave it to the pipeline, which knows of ranks too."""
        return int(self.batch_size)

    def _build_train_pipeline(self) -> None:
        self.args.distill_model = (
            None  # the teacher is built in by now, and the module has these settings too
        )
        self.world_size = self.course.place.ranks
        if self.batch_size < 1:
            self.batch_size = self.args.batch = fit_batch(self)
        self.asked_batch = self.course.batch or self.batch_size
        self.effective_batch = self.asked_batch * max(round(self.args.nbs / self.asked_batch), 1)
        self._choose_loading()
        super()._build_train_pipeline()
        most = len(self.train_loader) * self.epochs
        self.full_accumulation = min(max(round(self.effective_batch / self.batch_size), 1), most)
        self.accumulate = 1  # so that the loop calls `optimizer_step` after each batch
        mode, self.probe = choose_precision(self)
        self._set_precision(mode)
        self.model = wrap(self.model, self.course.place, self.device)

    def _choose_loading(self) -> None:
        """Try settings of loading if that is asked for; a resumed run knows them already."""
        self.feeder.begin(self)
        if self.course.autotune_loader:
            self.feeder.tuning = self.feeder.tuning or tune_loader(self)
            chosen = self.feeder.tuning.after
            self.args.workers, self.args.cache, self.prefetch = chosen.workers, chosen.cache, chosen.prefetch

    def build_optimizer(self, model: Any, **settings: Any) -> Any:
        """Build the optimizer for the batch that was asked for, whatever there was room for."""
        nominal = max(self.asked_batch, self.args.nbs)
        settings["iterations"] = math.ceil(len(self.course.dataset.train) / nominal) * self.epochs
        settings["decay"] = self.args.weight_decay * self.effective_batch / self.args.nbs
        return super().build_optimizer(model, **settings)

    def _set_precision(self, mode: Mode) -> None:
        # Ultralytics was told `amp: false`: it would download a model to try mixed precision with.
        self.mode = mode
        self.args.amp = mode.for_ultralytics
        self.amp = mode.dtype is not None
        self.scaler = torch.amp.GradScaler("cuda", enabled=mode.scaled)
        self.guard = LossGuard(mixed=mode.scaled)
        set_tf32(allowed=mode.precision != "fp32")

    # ------------------------------------------------------------------------------------- what goes on
    def run_callbacks(self, event: str) -> None:
        """Call nobody's integrations; keep randomness, clock and progress."""
        if event == "on_train_epoch_start":
            self._start_epoch()
        elif event == "on_train_batch_start":
            self.feeder.watch.came()
        elif event == "on_train_batch_end":
            self._end_batch()

    def _start_epoch(self) -> None:
        self.epoch_start_s = time.perf_counter()
        self.batch_number = 0
        self.validated = False
        self._oom_retries = math.inf  # the session answers it, in any epoch, and keeps the effective batch
        self._seed(mix(self.args.seed, self.epoch))
        if self.epoch == self.start_epoch and self.course.state:
            give_gradients(self, self.course.state["gradients"])
        if self.train_loader.num_workers == 0 or self.epoch == self.start_epoch:
            self.train_loader.sampler.epoch = self.epoch
            self.train_loader.reset()
        self.feeder.watch.begin_epoch()

    @staticmethod
    def _seed(seed: int) -> None:
        draw_from(seed)
        torch.manual_seed(seed)

    def _close_dataloader_mosaic(self) -> None:
        super()._close_dataloader_mosaic()
        # It fetches ahead, so the order has gone further than training.
        self.train_loader.sampler.epoch = self.__dict__.get("epoch", self.start_epoch)

    def optimizer_step(self) -> None:
        """Step once gradients of enough pictures are summed up; in warm-up fewer are enough."""
        self.pending += 1
        if self.pending >= self._accumulation():
            super().optimizer_step()
            self.pending = 0

    def _accumulation(self) -> int:
        batches = len(self.train_loader)
        number, warm_up = self.epoch * batches + self.batch_number, self._get_warmup_iterations(batches)
        if number > warm_up or not warm_up:
            return int(self.full_accumulation)
        return max(1, int(np.interp(number, [0, warm_up], [1, self.full_accumulation]).round()))

    def _end_batch(self) -> None:
        self.batch_number += 1
        step = self.epoch * len(self.train_loader) + self.batch_number
        # Ultralytics adds up the losses of pictures, times the ranks.
        loss: float = self.loss.item() / (len(self.batch_files) * self.course.place.ranks)
        self.feeder.end_batch()
        files = self.train_loader.dataset.names_of(self.batch_files)
        self.guard.see(loss, where=f"at batch {step} {self._now}", files=files)
        done = self.epoch + self.batch_number / len(self.train_loader)
        parts = {name: float(part) for name, part in self.tloss.items()}
        note = f"epoch {self.epoch + 1}/{self.epochs}, loss {sum(parts.values()):.3f}{self.feeder.hint}"
        self.course.progress(done, self.epochs, note)
        if self.batch_number % max(len(self.train_loader) // STEPS_AN_EPOCH, 1) == 0:
            told = {"epoch": self.epoch + 1, "loss": loss, **parts, "lr": self._lr, **self.feeder.last}
            for tracker in self.course.trackers:
                tracker.steps(step, told)
        self.feeder.watch.ready()

    def validate(self) -> tuple[Any, Any]:
        """Measure the EMA weights."""
        self.course.progress(self.epoch + 1, self.epochs, f"epoch {self.epoch + 1}/{self.epochs}, validation")
        self.validated = True
        return super().validate()  # type: ignore[no-any-return]

    def _handle_nan_recovery(self, epoch: int) -> bool:
        """Stop instead of trying the epoch again, which costs hours and seldom helps."""
        del epoch
        if self.validated and self.fitness is not None and not math.isfinite(self.fitness):
            raise diverged(f"the mAP is {self.fitness} {self._now}", (), mixed=self.mode.scaled)
        return False

    @property
    def _now(self) -> str:
        return f"in epoch {self.epoch + 1} of {self.epochs}"

    @property
    def _lr(self) -> float:
        return max(float(group["lr"]) for group in self.optimizer.param_groups)

    # ------------------------------------------------------------------------------------- what comes out
    def save_model(self) -> bool:
        """Write a snapshot, and the EMA weights if they are the best so far, in FP32."""
        self.history.append(self._metrics())
        self.feeder.explain(self)
        for tracker in self.course.trackers:
            tracker.epoch(self.history[-1])
        if self.validated and self.fitness >= self.best_map:
            self.best_epoch, self.best_map = self.epoch + 1, float(self.fitness)
            self.course.snapshots.save_best(self.best_epoch, self.ema.ema.state_dict())
        self.course.snapshots.save(self.epoch + 1, state_of(self))
        return True

    def resume_training(self, ckpt: object) -> None:
        """Go on from a snapshot, if there is one."""
        del ckpt
        align(getattr(self.raw_model, "student_model", self.raw_model), self.course.place)
        if self.course.state is not None:
            restore(self, self.course.state)

    def final_eval(self) -> None:
        """Leave judging the best weights to `verify`."""

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
            lr=self._lr,
            seconds=time.perf_counter() - self.epoch_start_s,
            waiting_s=self.feeder.watch.waiting_s,
            computing_s=self.feeder.watch.computing_s,
        )
