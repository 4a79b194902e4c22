"""Course: what a training run works with, the settings of Ultralytics aside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from stages.artifact import Artifact
from stages.checkpoint import load_module
from stages.dataset import Dataset
from stages.stage import Progress
from stages.train import Precision, Train, TrainInputs
from stages.train.parallel import ALONE, Place
from stages.train.settings import asked_batch, precision_of
from stages.train.snapshots import Snapshots
from stages.train.tracking import Tracker
from targets.errors import UsageError
from targets.model import load_model_spec


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one process is to do.

    Attributes:
        stage: With its settings.
        inputs: Of the step.
        dataset: Prepared.
        out: Folder of the step, which all ranks see.
        progress: To be told of each batch.
        place: Of this process among those that train together.
    """

    stage: Train
    inputs: TrainInputs
    dataset: Dataset
    out: Path
    progress: Progress
    place: Place = ALONE


@dataclass(frozen=True, kw_only=True)
class Course:
    """What a training run works with.

    Attributes:
        dataset: Prepared.
        pictures: Root of its pictures.
        work: Folder for whatever Ultralytics writes.
        snapshots: To write to.
        state: Snapshot to go on from; None begins anew.
        progress: To be told of each batch.
        batch: Pictures at once that were asked for, over all ranks; 0 lets the GPU's memory decide.
        max_batch: Bound of that; 0 is none.
        amp: Precision, or `auto`.
        trackers: To be told of figures.
        notes: What went wrong so far and was answered, a sentence each.
        place: Of this process among those that train together.
        teacher: Module whose features are to be learned too.
        autotune_loader: Whether settings of loading are to be tried.
    """

    dataset: Dataset
    pictures: Artifact
    work: Path
    snapshots: Snapshots
    state: Mapping[str, Any] | None
    progress: Progress
    batch: int
    max_batch: int
    amp: Precision | Literal["auto"]
    trackers: Sequence[Tracker] = ()
    notes: Sequence[str] = ()
    place: Place = ALONE
    teacher: Any = None
    autotune_loader: bool = False


def make_course(job: Job) -> Course:
    """Make it, with the last snapshot if there is one.

    Raises:
        UsageError: The teacher knows other classes.
    """
    snapshots = Snapshots(job.out / "snapshots")
    state = snapshots.load()
    return Course(
        dataset=job.dataset,
        pictures=job.inputs.pictures,
        work=job.out / "work" / f"rank{job.place.rank}",
        snapshots=snapshots,
        state=state,
        progress=job.progress,
        batch=asked_batch(job.stage, state),
        max_batch=job.stage.max_batch,
        amp=precision_of(job.stage),
        notes=tuple(state["notes"]) if state else (),
        place=job.place,
        teacher=_load_teacher(job.inputs.teacher, job.dataset.class_names),
        autotune_loader=job.stage.autotune_loader,
    )


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
