"""Baseline: an earlier run, whose release a new one is held against."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.files import explained
from pipeline.ladder import ClassFigures, Conditions, Released, Rung, RunReport
from pipeline.report.load import load_report
from pipeline.runs import find_run
from stages.artifact import Artifact, digest_json
from stages.verify import Compared
from targets.errors import UsageError
from targets.model import load_model_spec

if TYPE_CHECKING:
    from stages.dataset import Dataset

EVIDENCE = "evidence"
"""Folder of a run with what a later run needs: `index`, the data set, and detections, a folder a target."""

_WORDS = {"val": "validation data", "imgsz": "size", "conf": "conf", "iou": "iou", "max_det": "max_det"}


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """What an earlier run shipped for one target.

    Attributes:
        rung: In its ladder.
        detections: On the validation pictures.
    """

    rung: Rung
    detections: Artifact


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """An earlier run.

    Attributes:
        run: Its id.
        conditions: What its figures hold for.
        shipped: By target.
    """

    run: str
    conditions: Conditions
    shipped: Mapping[str, Shipped]

    def check(self, ours: Conditions) -> None:
        """See that this run can be compared with it.

        Raises:
            UsageError: They differ; with all that does.
        """
        refuse_differences(self.run, self.conditions, "this run", ours)

    def check_early(self, index: Artifact, side: int) -> None:
        """See, before anything is trained, that this run will be able to be compared with it.

        Args:
            index: Of the data set.
            side: Of the model's input, in pixels.

        Raises:
            UsageError: As `check`.
        """
        self.check(replace(self.conditions, val=find_val_digest(index), imgsz=(side, side)))


def load_baseline(folder: Path, name: str, targets: Mapping[str, object]) -> Baseline:
    """Find an earlier run, and what it shipped for these targets.

    Args:
        folder: Of the project.
        name: Run id, its folder, or its report.json.
        targets: By name.

    Raises:
        UsageError: There is no such run, it shipped nothing for one of the targets, or its evidence is gone.
        EdgeboundError: Its report cannot be read.
    """
    directory = find_run(folder, name)
    report = load_report(directory)
    conditions = conditions_of(report)
    shipped = {target: find_shipped(report, directory, target) for target in targets}
    return Baseline(run=report.run, conditions=conditions, shipped=shipped)


def conditions_of(report: RunReport) -> Conditions:
    """Give what a run's figures hold for.

    Raises:
        UsageError: Its report does not say.
    """
    if report.conditions is None:
        raise UsageError(
            f"Run {report.run} does not say what its figures hold for (report of version {report.schema}).",
            hint="It ended early, or an older program wrote it. Run it again; done steps are not done again.",
        )
    return report.conditions


def find_shipped(report: RunReport, directory: Path, target: str) -> Shipped:
    """Find what a run shipped for a target.

    Raises:
        UsageError: It shipped nothing for that, or its detections are gone or were changed.
    """
    found = report.targets.get(target)
    rung = next((one for one in found.ladder if one.id == found.ships), None) if found else None
    if rung is None:
        verdict = found.verdict if found else "not among its targets"
        raise UsageError(
            f"Run {report.run} shipped nothing for {target} ({verdict}), so nothing can be held against it.",
            hint="Name a run that passed for this target; `pipeline report RUN` shows what a run shipped.",
        )
    folder = directory / EVIDENCE / target
    detections = Artifact.of(folder)
    if not rung.detections or detections.digest != rung.detections:
        raise _gone(report.run, folder)
    return Shipped(rung=rung, detections=detections)


def find_index(report: RunReport, directory: Path) -> Artifact:
    """Find the data set that a run was judged by.

    Raises:
        UsageError: It is gone, or was changed.
    """
    folder = directory / EVIDENCE / "index"
    index = Artifact.of(folder)
    there = any(folder.glob("*"))
    if not there or find_val_digest(index) != conditions_of(report).val:
        raise _gone(report.run, folder)
    return index


def _gone(run: str, folder: Path) -> UsageError:
    return UsageError(
        f"The evidence of run {run} is gone or was changed: {folder}.",
        hint="Keep the whole folder of the run, not report.json alone; or run it again.",
    )


def refuse_differences(one: str, its: Conditions, other: str, others: Conditions) -> None:
    """See that the figures of two runs can be compared.

    Raises:
        UsageError: They hold for other data, another size or other thresholds; with all that differs.
    """
    differ = [
        f"{what} ({_say(getattr(its, field))} in {one}, {_say(getattr(others, field))} in {other})"
        for field, what in _WORDS.items()
        if getattr(its, field) != getattr(others, field)
    ]
    if differ:
        raise UsageError(
            f"{one} and {other} cannot be compared: they differ in {', '.join(differ)}.",
            hint="Run both with the same validation pictures, labels, size and thresholds.",
        )


def _say(value: object) -> str:
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return str(value).removeprefix("sha256:")[:12]


def describe(index: Artifact, model: Artifact) -> Conditions:
    """Give what figures on a data set hold for; of all forms, which share it, any model will do."""
    spec = load_model_spec(model.path)
    return Conditions(
        val=find_val_digest(index),
        imgsz=(spec.input.height, spec.input.width),
        conf=spec.conf,
        iou=spec.iou,
        max_det=spec.max_det,
    )


def find_val_digest(index: Artifact) -> str:
    """Give `val_digest` of a stored data set.

    Raises:
        DataError: It cannot be read.
    """
    from stages.dataset import load_dataset

    return val_digest(load_dataset(index))


def val_digest(dataset: Dataset) -> str:
    """Give the digest of the validation pictures, their labels and the classes, wherever the files lie."""
    pictures = [[one.sha256, one.boxes.tolist(), one.crowd.tolist()] for one in dataset.val]
    return digest_json([dataset.class_names, pictures])


def released(run: str, shipped: Shipped, compared: Compared) -> Released:
    """Give how a candidate compares with what an earlier run shipped."""
    return Released(
        run=run,
        label=shipped.rung.label,
        drift_pt=compared.drift_pt,
        drift_ci_pt=compared.drift_ci_pt,
        spread_pt=compared.spread_pt,
        classes=tuple(
            ClassFigures(
                name=before.name,
                ap50=before.ap50,
                ap50_95=before.ap50_95,
                ap50_loss_pt=loss.ap50_loss_pt,
                ci=loss.ci_pt,
                spread_pt=loss.spread_pt,
                boxes=before.boxes,
            )
            for before in shipped.rung.classes
            for loss in compared.classes
            if loss.name == before.name
        ),
    )


def keep(detections: Artifact, directory: Path, name: str) -> None:
    """Keep what a later run needs, in the run's folder, where no clean-up of the store takes it."""
    folder = directory / EVIDENCE / name
    with explained(folder):
        shutil.copytree(detections.path, folder, copy_function=shutil.copyfile)
