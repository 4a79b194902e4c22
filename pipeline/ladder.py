"""The ladder: every form of the model in one run, with what was measured of it and how it was judged."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pipeline.board import Board
from pipeline.figures import MISSING, Figure, Interval
from pipeline.frontier import Point
from pipeline.int8 import Placement, Search
from targets.profile import Precision, RuntimeName

__all__ = [
    "MISSING", "SCHEMA", "Check", "ClassCount", "ClassFigures", "DataSummary", "Epoch", "Failure", "Figure",
    "Form", "Interval", "LatencyFigures", "RunReport", "Rung", "Step", "TargetResult", "Verdict",
]  # fmt: skip
SCHEMA = 1

Verdict = Literal["pass", "refuse", "inconclusive", "unsupported", "error"]
Form = Literal["train", "distill", "cut", "prune", "qat", "export", "quantize", "build"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One question that the gate asked of one form, and the answer.

    Attributes:
        measure: What was looked at, as `drift` or `AP50 loss of hole`.
        value: What was measured.
        low: Lower end of its interval; `value` where it has none.
        high: Upper end.
        limit: The most that passes; NaN where the question has no limit.
        unit: Of all four: `pt`, `ms`, `MiB`, `h`, or nothing.
        reason: The answer in words, with value and limit.
    """

    measure: str
    value: Figure
    low: Figure
    high: Figure
    limit: Figure
    unit: str
    verdict: Verdict
    reason: str


@dataclass(frozen=True, kw_only=True)
class LatencyFigures:
    """How long one picture takes on the candidate's host, in milliseconds.

    Attributes:
        n: Timed runs.
        samples: Each of them, in the order they ran.
    """

    p50: Figure
    p90: Figure
    p99: Figure
    n: int
    samples: tuple[Figure, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ClassFigures:
    """One class: AP as fractions, loss of AP50 against the baseline in points.

    Attributes:
        boxes: Of this class in the validation pictures.
    """

    name: str
    ap50: Figure
    ap50_95: Figure
    ap50_loss_pt: Figure = math.nan
    ci: Interval = MISSING
    boxes: int = 0


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One form of the model.

    Attributes:
        id: Unique in its ladder.
        parent: Id of the form this one was made from; None for the baseline.
        candidate: It is an engine that could ship.
        verdict: Inconclusive until the gate has judged it; unsupported and error come from the builder.
        reasons: Why it does not pass, or does not ship.
        map50_95: Fraction, 0 to 1; `map50` too.
        drift_pt: Loss of mAP50-95 against the baseline, in points of 0.01; positive is worse.
        step_drift_pt: The same against the parent.
        drift_ci_pt: 95 % interval of `drift_pt`.
        host: Where latency was measured.
        simulated: A stand-in measured it, not the device.
        gmac: Of one picture, in 10⁹ multiply-accumulates, as `parameters` where pruning has counted.
        doubts: What about the state of its board makes the latency prove nothing, and what to run there.
        cached: It comes from an earlier run.
        f1_threshold: Score at which F1 is best, 0 to 1.
        pictures: Validation pictures behind mAP and drift.
        measured_at: When latency was measured, ISO 8601, UTC.
        memory_mib: Peak memory of the process that ran the engine.
        checks: Everything the gate asked.
    """

    id: str
    parent: str | None
    form: Form
    precision: Precision
    runtime: RuntimeName | Literal["pytorch"]
    candidate: bool
    verdict: Verdict = "inconclusive"
    reasons: tuple[str, ...] = ()
    map50_95: Figure
    map50: Figure
    drift_pt: Figure
    step_drift_pt: Figure
    drift_ci_pt: Interval
    latency_ms: LatencyFigures | None
    size_bytes: int
    host: str
    simulated: bool
    cached: bool
    step_drift_ci_pt: Interval = MISSING
    classes: tuple[ClassFigures, ...] = ()
    f1_threshold: Figure = math.nan
    pictures: int = 0
    measured_at: str | None = None
    memory_mib: Figure = math.nan
    doubts: tuple[str, ...] = ()
    gmac: Figure = math.nan
    parameters: int = 0
    checks: tuple[Check, ...] = ()

    @property
    def label(self) -> str:
        """The form in a few words, as `openvino int8`; ONNX files go by their format."""
        kind = {
            "export": "onnx",
            "quantize": "onnx",
            "cut": "cut pytorch",
            "prune": "pruned pytorch",
            "distill": "distilled pytorch",
            "qat": "qat pytorch",
        }
        return f"{kind.get(self.form, self.runtime)} {self.precision}"


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

    def to_json(self, *, indent: int | None = None) -> str:
        """Give the document as strict JSON: a figure nobody measured is null."""
        return json.dumps(_strict(asdict(self)), indent=indent, allow_nan=False, ensure_ascii=False)


def _strict(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):  # a file's name may be no text; half a surrogate pair is no JSON
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, Mapping):
        return {_strict(key): _strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    return value
