"""Session: one run of the train stage, from the named weights to the checkpoint folder."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import torch

from stages.artifact import Artifact
from stages.checkpoint import load_module, save_checkpoint
from stages.dataset import Dataset, load_dataset
from stages.learned import save_learned
from stages.train import EpochMetrics, Train, Trained, TrainInputs
from stages.train.qat import learned_of, see_that_it_can_be, split, strip
from stages.train.snapshots import Snapshots, Tensors
from stages.train.start import Start, load_start
from stages.train.trainer import Course, Trainer
from targets.errors import EdgeboundError, UsageError
from targets.model import InputSpec, ModelSpec, load_model_spec

if TYPE_CHECKING:
    from pathlib import Path

    from stages.stage import Progress

MAX_DET = 300  # Ultralytics' default
DEFAULT_BATCH = 16
_STUDENT = "student_model."  # in the names of Ultralytics' DistillationModel
_WARM_UP = 0.05  # of all epochs
_WITHOUT_MOSAIC = 0.2  # of all epochs, at the end; Ultralytics' ten of a hundred leave short runs too little


def train(stage: Train, inputs: TrainInputs, out: Path, progress: Progress) -> Trained:
    """Run the stage; its settings have been checked for unknown keys."""
    dataset = load_dataset(inputs.index)
    stage = in_epochs(stage, pictures=len(dataset.train))
    torch.manual_seed(stage.seed)
    start = _load(stage.weights, inputs, dataset)
    _check_settings(stage, start)
    if stage.int8:
        see_that_it_can_be()
    if stage.epochs:
        state = _train(stage, inputs, start, dataset=dataset, out=out, progress=progress)
    else:
        _check_names(start, dataset.class_names)
        state = {"history": [], "best_epoch": 0, "device": ""}
    history = tuple(EpochMetrics(**metrics) for metrics in state["history"])
    return Trained(
        checkpoint=_save(inputs, start, imgsz=stage.imgsz, dataset=dataset, out=out),
        epochs=history,
        best_epoch=state["best_epoch"] or len(history),
        device=state["device"],
        notes=(start.note, *_notes(stage, state)),
        ranges=save_learned(state["learned"], _free(out / "ranges")) if stage.int8 else None,
    )


def sketch(weights: str, inputs: TrainInputs, *, imgsz: int, out: Path) -> Artifact:
    """Write the model as training would begin with it; always the same."""
    dataset = load_dataset(inputs.index)
    torch.manual_seed(0)
    return _save(inputs, _load(weights, inputs, dataset), imgsz=imgsz, dataset=dataset, out=out)


def _load(weights: str, inputs: TrainInputs, dataset: Dataset) -> Start:
    return load_start(
        inputs.weights.path,
        weights or inputs.weights.path.name,
        class_names=dataset.class_names,
        packages=inputs.modules,
    )


def _train(
    stage: Train, inputs: TrainInputs, start: Start, *, dataset: Dataset, out: Path, progress: Progress
) -> dict[str, Any]:
    """Train `start.module`, leave it with the best weights, and give the last snapshot."""
    snapshots = Snapshots(out / "snapshots")
    state = snapshots.load()
    if state is None or not state["finished"]:
        course = Course(
            dataset=dataset,
            pictures=inputs.pictures,
            work=out / "work",
            snapshots=snapshots,
            progress=progress,
            amp=stage.amp,
            teacher=_load_teacher(inputs.teacher, dataset.class_names),
        )
        _run_trainer(_make_trainer(stage, course, start), start)
        state = snapshots.load()
    if state is None:
        raise EdgeboundError(
            "Training ended, but none of its snapshots can be read back.",
            hint=f"Check the disk that {out} is on, then run again.",
        )
    weights, limits = split(state.get("best", state["ema"]))
    strip(start.module)
    start.module.cpu().load_state_dict(_of_student(weights) if inputs.teacher else weights)
    rounded = {name: limits[name] for name in state.get("rounded", ())}
    state["learned"] = learned_of(start.module, _of_student(rounded) if inputs.teacher else rounded)
    return state


def _of_student(tensors: Tensors) -> Tensors:
    return {
        name.removeprefix(_STUDENT): tensor for name, tensor in tensors.items() if name.startswith(_STUDENT)
    }


def in_epochs(stage: Train, *, pictures: int) -> Train:
    """Give a stage whose `steps` are told in epochs, with a schedule that fits so few."""
    if not stage.steps:
        return stage
    batch = stage.batch if stage.batch > 0 else DEFAULT_BATCH
    a_epoch = math.ceil(pictures / batch)
    epochs = max(math.ceil(stage.steps / a_epoch), 2)
    schedule = {
        "nbs": batch,  # one optimizer step a batch
        "warmup_epochs": epochs * _WARM_UP,
        "close_mosaic": math.ceil(epochs * _WITHOUT_MOSAIC),
    }
    return replace(stage, epochs=epochs, overrides={**schedule, **stage.overrides})


def _load_teacher(teacher: Artifact | None, class_names: tuple[str, ...]) -> Any:
    if teacher is None:
        return None
    known = load_model_spec(teacher.path).class_names
    if known != class_names:
        raise UsageError(
            f"The teacher knows other classes ({', '.join(known[:5])}) than the data set"
            f" ({', '.join(class_names[:5])}).",
            hint="Give a teacher that was trained on this data set.",
        )
    return load_module(teacher)


def _save(inputs: TrainInputs, start: Start, *, imgsz: int, dataset: Dataset, out: Path) -> Artifact:
    folder = _free(out / "checkpoint")
    spec = ModelSpec(
        family=start.family,
        class_names=dataset.class_names,
        input=InputSpec(height=imgsz, width=imgsz),
        output="end2end" if start.module.end2end else "raw",
        max_det=_max_det(dataset),
        data_digest=inputs.index.digest,
    )
    save_checkpoint(
        start.module, spec=spec, packages=inputs.modules, folder=folder, provenance=start.provenance
    )
    return Artifact.of(folder)


def _free(folder: Path) -> Path:
    """Give the folder's path, with nothing there of a run that was killed."""
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def _make_trainer(stage: Train, course: Course, start: Start) -> Trainer:
    settings: dict[str, Any] = {
        **stage.overrides,
        "task": "detect",
        "mode": "train",
        "model": stage.weights,
        "save_dir": str(course.work / "ultralytics"),
        "epochs": stage.epochs,
        "imgsz": stage.imgsz,
        "batch": stage.batch,
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
        "max_det": _max_det(course.dataset),
        "dis": stage.distill_weight,
        "quantize": 8 if stage.int8 else None,
    }
    if start.module.end2end:
        settings["nms"] = False  # validate the head that is exported
    try:
        return Trainer(course, settings)
    except (TypeError, ValueError) as exc:
        raise UsageError(
            f"Ultralytics refuses the settings of `train`: {str(exc).splitlines()[0]}",
            hint="See https://docs.ultralytics.com/usage/cfg for the range of each.",
        ) from exc


def _run_trainer(trainer: Trainer, start: Start) -> None:
    trainer.model = start.module
    threads = cv2.getNumThreads()
    cv2.setNumThreads(0)  # its threads do not survive the fork of the loading processes
    try:
        trainer.train()
    except torch.OutOfMemoryError as exc:
        raise EdgeboundError(
            f"The memory of {trainer.device} ran out with {trainer.batch_size} pictures a batch.",
            hint="Set train.batch or train.imgsz lower.",
        ) from exc
    finally:
        cv2.setNumThreads(threads)
    start.module.criterion = None
    for layer in start.module.model:
        layer._forward_hooks.clear()  # noqa: SLF001  (those with which a teacher looked at features)


def _check_settings(stage: Train, start: Start) -> None:
    stride = int(start.module.stride.max())
    if stage.imgsz < 2 * stride or stage.imgsz % stride:
        near = max(2, round(stage.imgsz / stride)) * stride
        raise UsageError(
            f"`train.imgsz: {stage.imgsz}` does not fit {start.family}: its input is a multiple of {stride}.",
            hint=f"Set train.imgsz to {near}.",
        )
    if "," in stage.device:
        raise UsageError(
            f"`train.device: {stage.device}` names several devices.",
            hint="Name one; several are not supported yet.",
        )
    if stage.epochs == 0 and not start.names:
        raise UsageError(
            "`train.epochs: 0` takes the weights as they are, but a model description has none.",
            hint="Give a .pt as model.weights, or train for at least one epoch.",
        )


def _check_names(start: Start, class_names: tuple[str, ...]) -> None:
    if start.names == class_names:
        return
    if len(start.names) != len(class_names):
        what = f"the weights know {len(start.names)} classes, the data set has {len(class_names)}"
    else:
        place = next(i for i, name in enumerate(class_names) if name != start.names[i])
        what = f"class {place} is {start.names[place]!r} there and {class_names[place]!r} in the data set"
    raise UsageError(
        f"`train.epochs: 0` takes the weights as they are, but {what}.",
        hint="Train for some epochs, or correct `names` in the data YAML.",
    )


def _max_det(dataset: Dataset) -> int:
    most = max((len(picture.boxes) for picture in (*dataset.train, *dataset.val)), default=0)
    return max(MAX_DET, most)


def _notes(stage: Train, state: dict[str, Any]) -> list[str]:
    if stage.epochs == 0:
        return ["Nothing was trained."]
    notes = []
    epochs = len(state["history"])
    if stage.amp and state["device"] == "cpu":
        notes.append("Mixed precision is off: there is no CUDA device, so training ran in FP32 on the CPU.")
    if epochs < stage.epochs:
        notes.append(
            f"Training stopped after {epochs} of {stage.epochs} epochs: "
            f"the mAP had not risen for {stage.patience}."
        )
    if not state["best_epoch"]:
        notes.append("Validation was off, so the weights of the last epoch were taken.")
    return notes
