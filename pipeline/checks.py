"""What the gate asks of one form, and the answers.

Each question is asked as "is it within the limit?", so that NaN never passes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from pipeline.ladder import Check, Interval, LatencyFigures, Rung, Verdict
from targets.profile import Budgets

Wish = Literal["auto", "fp32", "fp16", "int8"]
"""Which precision may ship; auto: the fastest that passes."""

MIN_RUNS = 100  # with fewer, p99 is the maximum by another name
CLOCK_SKEW_H = 0.1  # a board's clock may run ahead of ours by so much
_NO_LIMIT = math.nan


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What a release may lose: the section `gate:` of `pipeline.yaml`.

    A drift is a loss of mAP50-95 in points (1 pt = 0.01); positive is worse.

    Attributes:
        onnx_drift_pt: Limit of one step to another FP32 form. Healthy exports lose less than 0.1 pt; the
            differences in letterbox and NMS that this catches cost 3 to 4 pt (DeepStream-Yolo's benchmarks).
        fp16_drift_pt: Limit of one step to an FP16 form. Published FP16 engines lose up to 0.1 pt.
        int8_drift_pt: Limit of one step to an INT8 form. The choice of the calibrator alone has cost 5.3 pt
            (NVIDIA's yolo_deepstream, YOLOv7), with care it was 0.1 pt; YOLOv5s lost 0.4 pt (cuDLA-samples).
        prune_drift_pt: Limit of pruning and fine-tuning.
        distill_drift_pt: Limit of a distilled student.
        drift_pt: Limit of all steps together, for an engine that is to ship.
        class_ap50_loss_pt: Most that any one class may lose of its AP50: a mean hides a lost class.
        f1_threshold_shift: Most that the F1-optimal score may move, 0 to 1. INT8 may leave mAP alone and yet
            press scores from 0.85 to 0.45 (ultralytics#24668): a deployed threshold then finds nothing.
        int8_min_speedup: INT8 ships only where it is so many times as fast (p50) as the best other
            candidate that passes.
        accept_simulated: Judge what a stand-in for a runtime measured as if a device had; for rehearsals, as
            a release refuses it whatever this says.
    """

    onnx_drift_pt: Annotated[float, Ge(0)] = 0.1
    fp16_drift_pt: Annotated[float, Ge(0)] = 0.3
    int8_drift_pt: Annotated[float, Ge(0)] = 1.0
    prune_drift_pt: Annotated[float, Ge(0)] = 1.0
    distill_drift_pt: Annotated[float, Ge(0)] = 1.0
    drift_pt: Annotated[float, Ge(0)] = 1.5
    class_ap50_loss_pt: Annotated[float, Ge(0)] = 5.0
    f1_threshold_shift: Annotated[float, Ge(0), Le(1)] = 0.1
    int8_min_speedup: Annotated[float, Gt(0)] = 1.10
    accept_simulated: bool = False

    def step_limit_pt(self, rung: Rung) -> float:
        """Give the most that the step to `rung` may lose, in points."""
        by_form = {"train": self.drift_pt, "prune": self.prune_drift_pt, "distill": self.distill_drift_pt}
        by_form["qat"] = self.int8_drift_pt
        by_precision = {"fp32": self.onnx_drift_pt, "fp16": self.fp16_drift_pt, "int8": self.int8_drift_pt}
        return by_form[rung.form] if rung.form in by_form else by_precision[rung.precision]


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a ladder is held against.

    Attributes:
        wish: The precision that is to ship.
        now: With its time zone.
        max_age_h: Age at which a measured latency is stale, in hours.
    """

    limits: Gate = field(default_factory=Gate)
    budgets: Budgets = field(default_factory=Budgets)
    wish: Wish = "auto"
    now: datetime
    max_age_h: float = 24.0


def checks_of(rung: Rung, baseline: Rung, terms: Terms) -> Iterator[Check]:
    """Ask everything about `rung` itself; about the forms it was made from, ask them."""
    yield _accuracy(rung, is_baseline=rung is baseline)
    if rung is baseline:
        return
    yield _drift(
        "step drift", rung, rung.step_drift_pt, rung.step_drift_ci_pt, terms.limits.step_limit_pt(rung)
    )
    if rung.candidate:
        yield _drift("drift", rung, rung.drift_pt, rung.drift_ci_pt, terms.limits.drift_pt)
        yield from _classes(rung, baseline, terms.limits.class_ap50_loss_pt)
        shift = abs(rung.f1_threshold - baseline.f1_threshold)
        yield hold("shift of the best threshold", shift, limit=terms.limits.f1_threshold_shift)
        yield from _measurement(rung, terms)


def hold(
    measure: str,
    value: float,
    *,
    limit: float,
    unit: str = "",
    interval: Interval | None = None,
    pictures: int = 0,
) -> Check:
    """Hold one figure, and its 95 % interval if it has one, against the most that passes."""
    low, high = interval or (value, value)
    verdict = _verdict(value, low, high, limit)
    if any(map(math.isnan, (value, low, high))):
        reason = f"{measure} was not measured, limit {_say(limit, unit, 2)}"
    else:
        digits = 4 if 0 < min(abs(figure - limit) for figure in (value, low, high)) < 0.005 else 2
        spread = f" (95 % interval {low:.{digits}f} to {high:.{digits}f})" if interval else ""
        reason = f"{measure} {_say(value, unit, digits)}{spread}, limit {_say(limit, unit, digits)}"
        if interval and verdict == "inconclusive":
            reason += f": {_too_few(value, low, high, limit, pictures)}"
    return Check(
        measure=measure,
        value=value,
        low=low,
        high=high,
        limit=limit,
        unit=unit,
        verdict=verdict,
        reason=reason,
    )


def _verdict(value: float, low: float, high: float, limit: float) -> Verdict:
    if any(map(math.isnan, (value, low, high))):
        return "inconclusive"
    # A percentile interval need not hold its own estimate: the worse of the two bounds a pass.
    if max(low, value, high) <= limit:
        return "pass"
    return "refuse" if min(low, value) > limit else "inconclusive"


def _say(figure: float, unit: str, digits: int) -> str:
    return f"{figure:.{digits}f} {unit}".rstrip()


def _too_few(value: float, low: float, high: float, limit: float, pictures: int) -> str:
    """Say how many pictures would settle it: an interval's half-width goes with 1 / sqrt(n)."""
    half_width = high - value if value <= limit else value - low
    gap = abs(limit - value)
    needed = pictures * (half_width / gap) ** 2 if gap > 0 else math.inf
    if not pictures < needed < 1e6:
        return "no reasonable number of validation pictures would settle it"
    step = 10 ** max(0, math.floor(math.log10(needed)) - 1)  # two figures: it is an estimate
    return (
        f"about {math.ceil(needed / step) * step} validation pictures would settle it, there are {pictures}"
    )


def _open(measure: str, reason: str, value: float = math.nan, unit: str = "") -> Check:
    """Give the answer to a question that cannot be answered."""
    return _answer(measure, "inconclusive", reason, value=value, unit=unit)


def _answer(measure: str, verdict: Verdict, reason: str, *, value: float, unit: str = "") -> Check:
    return Check(
        measure=measure, value=value, low=value, high=value, limit=_NO_LIMIT, unit=unit, verdict=verdict,
        reason=reason,
    )  # fmt: skip


def _accuracy(rung: Rung, *, is_baseline: bool) -> Check:
    value = rung.map50_95
    if math.isnan(value):
        return _open("mAP50-95", "mAP50-95 was not measured")
    if not 0 <= value <= 1:
        return _open("mAP50-95", f"mAP50-95 {value:.3f} is no fraction", value)
    if is_baseline and value == 0:
        nothing = (
            "the baseline finds nothing (mAP50-95 0.000): it has nothing to lose, so no drift means anything"
        )
        return _open("mAP50-95", nothing, value)
    return _answer("mAP50-95", "pass", f"mAP50-95 {value:.3f}", value=value)


def _drift(measure: str, rung: Rung, value: float, interval: Interval, limit: float) -> Check:
    return hold(measure, value, limit=limit, unit="pt", interval=interval, pictures=rung.pictures)


def _classes(rung: Rung, baseline: Rung, limit: float) -> Iterator[Check]:
    evaluated = {each.name for each in rung.classes}
    if not evaluated:
        yield _open("AP50 loss by class", "no class was evaluated")
    for each in rung.classes:
        if each.boxes:
            yield _drift(f"AP50 loss of {each.name}", rung, each.ap50_loss_pt, each.ci, limit)
    # Of 80 classes many may be absent: one answer for all of them, not one each.
    if absent := [each.name for each in rung.classes if not each.boxes]:
        yield _open("classes without a box", f"no box in the validation pictures: {_list(absent)}")
    if missing := [each.name for each in baseline.classes if each.name not in evaluated]:
        yield _open("classes not evaluated", f"classes not evaluated: {_list(missing)}")


def _list(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _measurement(rung: Rung, terms: Terms) -> Iterator[Check]:
    """Ask whether the candidate was timed: really, lately, often enough, and within the budgets."""
    if rung.simulated and not terms.limits.accept_simulated:
        yield _open("device", "simulated: not measured on the device itself")
        return  # its latency says nothing, for or against
    if rung.latency_ms is None or not 0 < rung.latency_ms.p50 < math.inf:
        yield _open("latency", "latency was not measured")
    else:
        yield from _latency(rung.latency_ms, rung, terms)
    if terms.budgets.memory_mib is not None:
        yield hold("memory", rung.memory_mib, limit=terms.budgets.memory_mib, unit="MiB")


def _latency(latency: LatencyFigures, rung: Rung, terms: Terms) -> Iterator[Check]:
    yield _freshness(rung.measured_at, terms)
    if rung.doubts:
        yield from (_open("state of the board", doubt) for doubt in rung.doubts)
        return  # nor does its p99
    if terms.budgets.p99_ms is not None:
        yield hold("p99", latency.p99, limit=terms.budgets.p99_ms, unit="ms")
        if latency.n < MIN_RUNS:
            yield _open("timed runs", f"{latency.n} timed runs, a p99 needs {MIN_RUNS}", latency.n)


def _freshness(measured_at: str | None, terms: Terms) -> Check:
    measure = "age of the latency"
    try:
        at = datetime.fromisoformat((measured_at or "").replace("Z", "+00:00"))
    except ValueError:
        return _open(measure, "when the latency was measured is not known")
    at = at if at.tzinfo else at.replace(tzinfo=timezone.utc)
    age_h = (terms.now - at).total_seconds() / 3600
    if -CLOCK_SKEW_H <= age_h <= terms.max_age_h:
        return _answer(measure, "pass", f"latency is {age_h:.1f} h old", value=age_h, unit="h")
    if age_h < 0:
        return _open(
            measure, f"latency was measured in the future ({measured_at}): a clock is wrong", age_h, "h"
        )
    return _open(measure, f"latency is stale: {age_h:.1f} h old, limit {terms.max_age_h:.1f} h", age_h, "h")
