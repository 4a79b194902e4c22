"""Limits of the gate: the section `gate:` of `pipeline.yaml`. Default and evidence of each: docs/gate.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Annotated

from annotated_types import Ge, Gt, Le

from pipeline.rung import Rung
from targets.profile import Budgets

Points = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Le(1)]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a release may lose. 1 pt = 0.01; positive is worse; a limit of 100 pt, or 1, never refuses.

    Attributes:
        onnx_drift_pt: Limit of one step to another FP32 form, in mAP50-95. Healthy exports lose less than
            0.1 pt; the differences in letterbox and NMS that this catches cost 3 to 4 pt (DeepStream-Yolo's
            benchmarks).
        fp16_drift_pt: Limit of one step to an FP16 form. Published FP16 engines lose up to 0.1 pt.
        int8_drift_pt: Limit of one step to an INT8 form. The choice of the calibrator alone has cost 5.3 pt
            (NVIDIA's yolo_deepstream, YOLOv7), with care it was 0.1 pt; YOLOv5s lost 0.4 pt (cuDLA-samples).
        prune_drift_pt: Limit of pruning and fine-tuning.
        distill_drift_pt: Limit of a distilled student.
        drift_pt: Limit of all steps together, for an engine that is to ship.
        baseline_drift_pt: Limit of the same against what the run shipped that `--baseline` names.
        class_ap50_loss_pt: Most that any one class may lose of its AP50: a mean hides a lost class.
        size_loss_pt: Most that small, medium or large boxes may lose of their mAP50-95: small objects vanish
            while the mean holds (yolov5_gpu_optimization#5).
        f1_threshold_shift: Most that the F1-optimal score may move, 0 to 1. INT8 may leave mAP alone and yet
            press scores from 0.85 to 0.45 (ultralytics#24668): a deployed threshold then finds nothing.
        score_distance: Most that the scores of right detections may move on average, 0 to 1.
        recall_loss_pt: Most recall that may be lost at the deployed confidence.
        precision_loss_pt: Most precision that may be lost there.
        lost_detections_pt: Largest share of the baseline's detections there that the candidate may not give.
        p99_ms: Budget of the latency, in place of the target profile's; so is `memory_mib`.
        int8_min_speedup: INT8 ships only where it is so many times as fast (p50) as the best other
            candidate that passes.
        accept_simulated: Judge what a stand-in for a runtime measured as if a device had; for rehearsals, as
            a release refuses it whatever this says.
    """

    onnx_drift_pt: Points = 0.1
    fp16_drift_pt: Points = 0.3
    int8_drift_pt: Points = 1.0
    prune_drift_pt: Points = 1.0
    distill_drift_pt: Points = 1.0
    drift_pt: Points = 1.5
    baseline_drift_pt: Points = 1.5
    class_ap50_loss_pt: Points = 5.0
    size_loss_pt: Points = 5.0
    f1_threshold_shift: Share = 0.1
    score_distance: Share = 0.1
    recall_loss_pt: Points = 5.0
    precision_loss_pt: Points = 5.0
    lost_detections_pt: Points = 20.0
    p99_ms: Annotated[float, Gt(0)] | None = None
    memory_mib: Annotated[float, Gt(0)] | None = None
    int8_min_speedup: Annotated[float, Gt(0)] = 1.10
    accept_simulated: bool = False

    def step_limit_pt(self, rung: Rung) -> float:
        """Give the most that the step to `rung` may lose, in points."""
        by_form = {"train": self.drift_pt, "prune": self.prune_drift_pt, "distill": self.distill_drift_pt}
        by_form["qat"] = self.int8_drift_pt
        by_precision = {"fp32": self.onnx_drift_pt, "fp16": self.fp16_drift_pt, "int8": self.int8_drift_pt}
        return by_form[rung.form] if rung.form in by_form else by_precision[rung.precision]

    def budgets(self, of_profile: Budgets) -> Budgets:
        """Give what a candidate may take: as is said here, and else by the target's profile."""
        own = {"p99_ms": self.p99_ms, "memory_mib": self.memory_mib}
        return replace(of_profile, **{name: value for name, value in own.items() if value is not None})


@dataclass(frozen=True, kw_only=True)
class Gate(Limits):
    """The limits of all targets.

    Attributes:
        targets: Limits that are others for one target, by its name: `targets: {orin: {drift_pt: 1.0}}`.
    """

    targets: Mapping[str, Mapping[str, float | bool]] = field(default_factory=dict)

    def of(self, target: str) -> Limits:
        """Give the limits of a target: what is said of `orin@6.2`, or else of `orin`, comes first."""
        given = {one.name: getattr(self, one.name) for one in fields(Limits)}
        device = target.partition("@")[0]
        return Limits(**{**given, **self.targets.get(target, self.targets.get(device, {}))})
