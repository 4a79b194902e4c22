"""The ladder: every form of the model in one run, with what was measured of it and how it was judged."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pipeline.board import Board
from pipeline.figures import MISSING, Figure, Interval
from pipeline.frontier import Point
from pipeline.int8 import Placement, Search
from pipeline.rung import (
    Check,
    ClassFigures,
    Form,
    LatencyFigures,
    PointParity,
    Released,
    Rung,
    Verdict,
)
from pipeline.training import Training
from targets.profile import Precision, RuntimeName

__all__ = [
    "MISSING",
    "SCHEMA",
    "Check",
    "ClassCount",
    "ClassFigures",
    "Conditions",
    "DataSummary",
    "Epoch",
    "Failure",
    "Figure",
    "Form",
    "Interval",
    "LatencyFigures",
    "PointParity",
    "Released",
    "RunReport",
    "Rung",
    "Step",
    "TargetResult",
    "Training",
    "Verdict",
    "strict",
]  # fmt: skip
SCHEMA = 2
READABLE = (1, SCHEMA)
"""Format versions that this program reads; of a report of version 1 nobody asked what only 2 has."""


@dataclass(frozen=True, kw_only=True)
class TargetResult:
    """One target: its verdict, the engine that ships, and the ladder that led there.

    Attributes:
        engine: Folder of the engine that ships; None where none does, as `ships`, the rung's id.
        precision: Of what ships, as `runtime`.
        profile: The target profile, field by field.
        notes: What a reader should know that is no reason, as findings of `check`.
        placement: Of the INT8 form; None where there is none.
        search: For the drift budget; None where none was asked for.
        board: What its board said; None where none was asked, or has answered.
        kit: Folder of the kit for its board, where a person has to carry it there.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    engine: str | None
    precision: Precision | None
    runtime: RuntimeName | None
    ladder: tuple[Rung, ...]
    ships: str | None = None
    profile: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    placement: Placement | None = None
    search: Search | None = None
    board: Board | None = None
    kit: str | None = None


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What went wrong, what to do about it, and the exit code."""

    what: str
    hint: str
    code: int


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One epoch of training: mAP as fractions, losses by the trainer's name."""

    epoch: int
    map50_95: Figure
    map50: Figure
    losses: Mapping[str, Figure] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ClassCount:
    """Boxes of one class in the training and the validation pictures."""

    name: str
    train: int
    val: int


@dataclass(frozen=True, kw_only=True)
class DataSummary:
    """The data set in figures.

    Attributes:
        train: Pictures; as `val` and `calibration`.
        warnings: What the check of the data found.
    """

    train: int
    val: int
    calibration: int
    classes: tuple[ClassCount, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of the plan: how long it took, or that it was there already.

    Attributes:
        label: For people, as `build openvino int8`.
        key: Of the store.
        seconds: That the work took when it was done.
    """

    stage: str
    label: str
    key: str
    seconds: Figure
    cached: bool


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What two runs must have in common for their figures to be compared.

    Attributes:
        val: Digest of the validation pictures and their labels.
        imgsz: Side of the model's input, in pixels: height and width.
        conf: Score under which the deployed detector drops a detection, as `iou` and `max_det`.
    """

    val: str
    imgsz: tuple[int, int]
    conf: float
    iou: float
    max_det: int


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """All that a run found out: the document that `--json` prints and `report.json` holds.

    Attributes:
        seconds: Wall time of the run.
        data: `demo`, or the digest of the data set.
        started_at: ISO 8601, UTC.
        host: The machine that ran the pipeline, by field.
        versions: Of the tools, by name.
        settings: `pipeline.yaml` with every default filled in.
        frontier: What each ratio of pruning gave that was tried.
        pictures: Folder that the paths of pictures start from, as seen from the run's folder.
        conditions: What its figures hold for; None where it did not get so far.
        training: Of the baseline; None where nothing was trained.
        baseline: Run that `--baseline` named; empty where none was.
    """

    schema: int = SCHEMA
    run: str
    verdict: Verdict
    reasons: tuple[str, ...]
    error: Failure | None
    run_dir: str
    seconds: Figure
    data: str
    targets: Mapping[str, TargetResult]
    started_at: str = ""
    host: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    frontier: tuple[Point, ...] = ()
    data_summary: DataSummary | None = None
    epochs: tuple[Epoch, ...] = ()
    steps: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()
    pictures: str = ""
    conditions: Conditions | None = None
    baseline: str = ""
    training: Training | None = None

    def to_json(self, *, indent: int | None = None) -> str:
        """Give the document as strict JSON: a figure nobody measured is null."""
        return json.dumps(strict(asdict(self)), indent=indent, allow_nan=False, ensure_ascii=False)


def strict(value: Any) -> Any:
    """Give a value as strict JSON can carry it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):  # a file's name may be no text; half a surrogate pair is no JSON
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, Mapping):
        return {strict(key): strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict(item) for item in value]
    return value
