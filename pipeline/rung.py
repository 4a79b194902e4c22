"""A rung of the ladder: one form of the model, with what was measured of it and how it was judged."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from pipeline.figures import MISSING, Figure, Interval
from stages.evaluation.scores import Changes, Curves, Deployed, SizeLoss, ThresholdShift, TrueScores
from targets.profile import Precision, RuntimeName

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
        p50_ci: 95 % interval of `p50`, as of the other percentiles; its upper end is NaN where too few runs
            were timed to know.
        cov: Coefficient of variation of the samples.
        img_s: Throughput, in pictures a second.
        noise: Why the figures cannot be believed; empty where they can.
        end_to_end: With pre- and post-processing; None where only inference was timed.
    """

    p50: Figure
    p90: Figure
    p99: Figure
    n: int
    samples: tuple[Figure, ...] = ()
    p50_ci: Interval = MISSING
    p90_ci: Interval = MISSING
    p99_ci: Interval = MISSING
    cov: Figure = math.nan
    img_s: Figure = math.nan
    noise: str = ""
    end_to_end: LatencyFigures | None = None


@dataclass(frozen=True, kw_only=True)
class ClassFigures:
    """One class: AP as fractions, loss of AP50 against the baseline in points.

    Attributes:
        ci: 95 % interval of the loss.
        boxes: Of this class in the validation pictures.
        spread_pt: Standard deviation of the loss over resamples, in points.
    """

    name: str
    ap50: Figure
    ap50_95: Figure
    ap50_loss_pt: Figure = math.nan
    ci: Interval = MISSING
    boxes: int = 0
    spread_pt: Figure = math.nan


@dataclass(frozen=True, kw_only=True)
class PointParity:
    """How far a form's tensor is from that of the form it was made from, at one point, on real pictures.

    Attributes:
        point: Name of the tensor.
        cosine: Similarity, -1 to 1.
        max_abs: Largest difference.
        sqnr_db: Signal to quantization noise, in dB.
    """

    point: str
    cosine: Figure
    max_abs: Figure
    sqnr_db: Figure


@dataclass(frozen=True, kw_only=True)
class Released:
    """How a candidate compares with an earlier release, or the candidate that was to be one.

    Attributes:
        run: The earlier run.
        label: What it shipped, as `openvino int8`.
        drift_pt: Loss of mAP50-95 against that, in points.
        drift_ci_pt: Its 95 % interval.
        spread_pt: Its standard deviation over resamples, in points.
        classes: AP50 losses against that, by class.
    """

    run: str
    label: str
    drift_pt: Figure
    drift_ci_pt: Interval
    spread_pt: Figure
    classes: tuple[ClassFigures, ...] = ()


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
        drift_spread_pt: Standard deviation of `drift_pt` over resamples, in points; also the step's.
        sizes: Losses by size of box against the baseline, as are the next four.
        threshold: How far the F1-optimal confidence moved.
        deployed: Precision and recall at the deployed confidence.
        true_scores: How the scores of right detections moved.
        changes: Detections lost and gained, box by box, and the worst pictures.
        curves: Precision against recall, F1 and scores against confidence.
        released: Against the run that `--baseline` named.
        detections: Digest of what it found on the validation pictures.
        digest: Of its files.
        parity: Against the form it was made from, tensor by tensor.
        startup_ms: From the file to the first answer.
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
    drift_spread_pt: Figure = math.nan
    step_drift_spread_pt: Figure = math.nan
    sizes: tuple[SizeLoss, ...] = ()
    threshold: ThresholdShift | None = None
    deployed: Deployed | None = None
    true_scores: TrueScores | None = None
    changes: Changes | None = None
    curves: Curves | None = None
    released: Released | None = None
    detections: str = ""
    digest: str = ""
    parity: tuple[PointParity, ...] = ()
    startup_ms: Figure = math.nan

    @property
    def label(self) -> str:
        """The form in a few words, as `openvino int8`; ONNX files go by their format."""
        kind = {
            "export": "onnx",
            "quantize": "onnx",
            "cut": "cut pytorch",
            "prune": "pruned pytorch",
            "qat": "qat pytorch",
            "distill": "distilled pytorch",
        }
        return f"{kind.get(self.form, self.runtime)} {self.precision}"

    @property
    def is_judged(self) -> bool:
        """Whether the gate looks at it: a cut that is not tuned yet is only shown."""
        return self.form != "cut"
