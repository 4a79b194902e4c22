"""Session: one run of the train stage, from the named weights to the checkpoint folder."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from stages.artifact import Artifact
from stages.checkpoint import save_checkpoint
from stages.dataset import Dataset, load_dataset
from stages.learned import save_learned
from stages.stage import no_progress
from stages.train import EpochMetrics, PeakMemory, PrecisionProbe, Train, Trained, TrainInputs
from stages.train.checks import check_names, check_settings
from stages.train.course import Job, make_course
from stages.train.devices import check_devices, devices_of, first_device
from stages.train.feeder import feeding_of
from stages.train.fitting import probe_trainer
from stages.train.loop import make_trainer, run_to_end
from stages.train.precisions import check_precision, tf32_kept
from stages.train.qat import learned_of, see_that_it_can_be, split, strip
from stages.train.settings import in_epochs, max_det, precision_of, ultralytics_settings
from stages.train.snapshots import Snapshots, Tensors, check_room
from stages.train.start import Start, load_start
from stages.train.tracking import MetricStream, Tracker, check_tracking, close_all, open_trackers
from targets.errors import EdgeboundError
from targets.model import InputSpec, ModelSpec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from stages.stage import Progress
    from stages.train.trainer import Trainer

_STUDENT = "student_model."  # in the names of Ultralytics' DistillationModel


def train(stage: Train, inputs: TrainInputs, out: Path, progress: Progress) -> Trained:
    """Run the stage; its settings have been checked for unknown keys."""
    check_devices(stage.device)
    check_precision(precision_of(stage), first_device(stage.device))
    check_tracking(stage.tracking)
    if stage.int8:
        see_that_it_can_be()
    job = _job(stage, inputs, out, progress)
    stage, dataset = job.stage, job.dataset
    start = load(job)
    if not stage.epochs:
        check_names(start, dataset.class_names)
        checkpoint = _save(inputs, start, imgsz=stage.imgsz, dataset=dataset, out=out)
        notes = (start.note, "Nothing was trained.")
        return Trained(checkpoint=checkpoint, epochs=(), best_epoch=0, device="", notes=notes)
    if max(stage.ranks, len(devices_of(stage.device))) > 1:
        from stages.train.ranks import train_in_ranks  # whose ranks come back here

        crashes = train_in_ranks(stage, inputs, out, progress)
    else:
        crashes = ()
        train_rank(job, start)
    state = take_best(start, Snapshots(out / "snapshots"), taught=inputs.teacher is not None)
    history = tuple(EpochMetrics(**metrics) for metrics in state["history"])
    feeding = feeding_of(state)
    return Trained(
        checkpoint=_save(inputs, start, imgsz=stage.imgsz, dataset=dataset, out=out),
        epochs=history,
        best_epoch=state["best_epoch"] or len(history),
        device=state["device"],
        notes=(start.note, *_notes(stage, state), *crashes, *filter(None, [feeding.says])),
        ranges=save_learned(state["learned"], _free(out / "ranges")) if stage.int8 else None,
        precision=state["precision"],
        batch=state["batch"],
        asked_batch=state["asked_batch"],
        effective_batch=state["effective_batch"],
        memory=PeakMemory(**state["memory"]),
        probe=tuple(PrecisionProbe(**one) for one in state["probe"]),
        metrics=Artifact.of(out / "metrics"),
        feeding=feeding,
    )


def probe(
    train: Train, inputs: TrainInputs, out: Path, *, steps: int
) -> tuple[tuple[PrecisionProbe, ...], str, int]:
    """Try precisions on the first of several devices; give them, the device's name and the batch."""
    trainer = idle_trainer(train, inputs, out)
    with tf32_kept():
        precisions, batch = probe_trainer(trainer, steps=steps)
    return tuple(precisions), trainer.device_name, batch


def idle_trainer(train: Train, inputs: TrainInputs, out: Path) -> Trainer:
    """Give a trainer that will not train, for the first of several devices."""
    check_devices(train.device)
    device = train.device.partition(",")[0]
    job = _job(
        replace(train, amp="fp32", ranks=1, autotune_loader=False, device=device), inputs, out, no_progress
    )
    start = load(job)
    course = make_course(job)
    trainer = make_trainer(course, ultralytics_settings(job.stage, course, end2end=start.module.end2end))
    trainer.model = start.module
    return trainer


def _job(stage: Train, inputs: TrainInputs, out: Path, progress: Progress) -> Job:
    dataset = load_dataset(inputs.index)
    stage = in_epochs(stage, pictures=len(dataset.train))
    return Job(stage=stage, inputs=inputs, dataset=dataset, out=out, progress=progress)


def load(job: Job) -> Start:
    """Make the module that training begins with; always the same, in all ranks.

    Raises:
        UsageError: Settings and weights do not go together.
        ModelError: The weights cannot be read.
    """
    torch.manual_seed(job.stage.seed)
    start = _load(job.stage.weights, job.inputs, job.dataset)
    check_settings(job.stage, start)
    return start


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


def train_rank(job: Job, start: Start) -> None:
    """Train `start.module`, or go on where the last snapshot is; the last one then says how it went.

    Raises:
        EdgeboundError: Training cannot go on; what it did so far is in the snapshots.
    """
    course = make_course(job)
    if course.state is not None and course.state["finished"]:
        return
    check_room(job.out, sum(tensor.nbytes for tensor in start.module.state_dict().values()))
    trackers = _trackers(job.stage, job.out, course.state) if job.place.rank == 0 else []
    course = replace(course, trackers=trackers)
    try:
        run_to_end(course, start, ultralytics_settings(job.stage, course, end2end=start.module.end2end))
    finally:
        close_all(trackers)


def _trackers(stage: Train, out: Path, state: Mapping[str, Any] | None) -> list[Tracker]:
    stream = MetricStream(out / "metrics")
    stream.rewind(len(state["history"]) if state else 0)
    settings = {"weights": stage.weights, "epochs": stage.epochs, "imgsz": stage.imgsz, "seed": stage.seed}
    return [stream, *open_trackers(stage.tracking, settings)]


def take_best(start: Start, snapshots: Snapshots, *, taught: bool) -> dict[str, Any]:
    """Leave `start.module` with the best weights, and give the last snapshot."""
    state = snapshots.load()
    if state is None:
        raise EdgeboundError(
            "Training ended, but none of its snapshots can be read back.",
            hint=f"Check the disk that {snapshots.folder} is on, then run again.",
        )
    weights, limits = split(state.get("best", state["ema"]))
    strip(start.module)
    start.module.cpu().load_state_dict(_of_student(weights) if taught else weights)
    rounded = {name: limits[name] for name in state["rounded"]}
    state["learned"] = learned_of(start.module, _of_student(rounded) if taught else rounded)
    return state


def _of_student(tensors: Tensors) -> Tensors:
    return {
        name.removeprefix(_STUDENT): tensor for name, tensor in tensors.items() if name.startswith(_STUDENT)
    }


def _save(inputs: TrainInputs, start: Start, *, imgsz: int, dataset: Dataset, out: Path) -> Artifact:
    folder = _free(out / "checkpoint")
    spec = ModelSpec(
        family=start.family,
        class_names=dataset.class_names,
        input=InputSpec(height=imgsz, width=imgsz),
        output="end2end" if start.module.end2end else "raw",
        max_det=max_det(dataset),
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


def _notes(stage: Train, state: dict[str, Any]) -> list[str]:
    notes = list(state["notes"])
    epochs = len(state["history"])
    on_cpu = state["device"] == "cpu"
    if precision_of(stage) == "auto" and on_cpu:
        notes.append("Mixed precision is off: there is no CUDA device, so training ran in FP32 on the CPU.")
    if stage.batch in {"auto", -1}:
        why = "the default, since there is no GPU's memory to fill" if on_cpu else "what the GPU has room for"
        notes.append(f"`train.batch: auto` took {state['asked_batch']} pictures at once, {why}.")
    wanted = stage.cache and not stage.autotune_loader
    if wanted and not state["feeding"]["cache"]:
        notes.append(f"`train.cache: {stage.cache}` was left out: there is no room for all pictures.")
    if epochs < stage.epochs:
        notes.append(
            f"Training stopped after {epochs} of {stage.epochs} epochs: "
            f"the mAP had not risen for {stage.patience}."
        )
    if not state["best_epoch"]:
        notes.append("Validation was off, so the weights of the last epoch were taken.")
    return notes
