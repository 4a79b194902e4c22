"""What the gate asks of one form. How a figure is held against its limit: `pipeline.answers`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Literal

from pipeline.answers import Estimate, answer, hold, leave_open, lose
from pipeline.figures import Interval
from pipeline.limits import Limits
from pipeline.rung import Check, ClassFigures, LatencyFigures, Rung
from stages.evaluation.scores import Deployed, Loss, SizeLoss
from targets.profile import Budgets

Wish = Literal["auto", "fp32", "fp16", "int8"]
"""Which precision may ship; auto: the fastest that passes."""

MIN_RUNS = 100  # with fewer, p99 is the maximum by another name
CLOCK_SKEW_H = 0.1  # a board's clock may run ahead of ours by so much
MIN_SIZE_BOXES = 30  # of a size: sizes are our bins, no promise of the model, so a few boxes are not judged


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a ladder is held against.

    Attributes:
        limits: Of this target.
        budgets: Of its profile; `limits` may say otherwise.
        wish: The precision that is to ship.
        now: With its time zone.
        max_age_h: Age at which a measured latency is stale, in hours.
        baseline: An earlier run whose release each candidate has to be compared with; empty: none.
    """

    limits: Limits = field(default_factory=Limits)
    budgets: Budgets = field(default_factory=Budgets)
    wish: Wish = "auto"
    now: datetime
    max_age_h: float = 24.0
    baseline: str = ""


def checks_of(rung: Rung, baseline: Rung, terms: Terms) -> Iterator[Check]:
    """Ask everything about `rung` itself; about the forms it was made from, ask them."""
    yield _accuracy(rung, is_baseline=rung is baseline)
    if rung is baseline:
        return
    limits = terms.limits
    step = _estimate(rung, rung.step_drift_pt, rung.step_drift_ci_pt, rung.step_drift_spread_pt)
    yield hold("step drift", step, limit=limits.step_limit_pt(rung), unit="pt")
    if rung.candidate:
        drift = _estimate(rung, rung.drift_pt, rung.drift_ci_pt, rung.drift_spread_pt)
        yield hold("drift", drift, limit=limits.drift_pt, unit="pt")
        yield from _classes(rung, baseline, limits.class_ap50_loss_pt)
        yield from _sizes(rung, limits.size_loss_pt)
        yield _threshold(rung, limits.f1_threshold_shift)
        yield _scores(rung, limits.score_distance)
        yield from _as_deployed(rung, limits)
        if terms.baseline:
            yield from against_release(rung, terms)
        yield from _measurement(rung, terms)


def _estimate(rung: Rung, value: float, interval: Interval, spread: float = math.nan) -> Estimate:
    """Give an estimate from the rung's pictures; of one without a spread its interval tells that."""
    if math.isnan(spread):
        spread = (interval[1] - interval[0]) / 2 / 1.96  # half of a normal 95 % interval, in spreads
    return Estimate(value=value, interval=interval, spread=spread, pictures=rung.pictures)


def _hold_loss(measure: str, rung: Rung, loss: Loss, limit: float) -> Check:
    estimate = _estimate(rung, loss.loss_pt, loss.interval_pt, loss.spread_pt)
    return hold(measure, estimate, limit=limit, unit="pt")


def _accuracy(rung: Rung, *, is_baseline: bool) -> Check:
    value = rung.map50_95
    if math.isnan(value) and not is_baseline and not math.isnan(rung.drift_pt):
        return lose("mAP50-95")
    if math.isnan(value):
        return leave_open("mAP50-95", "mAP50-95 was not measured")
    if not 0 <= value <= 1:
        return leave_open("mAP50-95", f"mAP50-95 {value:.3f} is no fraction", value)
    if is_baseline and value == 0:
        nothing = (
            "the baseline finds nothing (mAP50-95 0.000): it has nothing to lose, so no drift means anything"
        )
        return leave_open("mAP50-95", nothing, value)
    return answer("mAP50-95", "pass", f"mAP50-95 {value:.3f}", value=value)


def _classes(rung: Rung, baseline: Rung, limit: float) -> Iterator[Check]:
    evaluated = {each.name for each in rung.classes}
    if not evaluated:
        yield leave_open("AP50 loss by class", "no class was evaluated")
    for each in rung.classes:
        if not _is_absent(each):
            yield _class_loss("AP50 loss", rung, each, limit)
    # Of 80 classes many may be absent: one answer for all of them, not one each.
    if absent := [each.name for each in rung.classes if _is_absent(each)]:
        reason = f"no box in the validation pictures: {_list(absent)}"
        yield leave_open("classes without a box", reason)
    if missing := [each.name for each in baseline.classes if each.name not in evaluated]:
        yield leave_open("classes not evaluated", f"classes not evaluated: {_list(missing)}")


def _is_absent(each: ClassFigures) -> bool:
    """Say whether a class has no box in the validation pictures, so that nobody can tell its loss."""
    return not each.boxes and math.isnan(each.ap50_loss_pt)


def _class_loss(measure: str, rung: Rung, each: ClassFigures, limit: float) -> Check:
    estimate = _estimate(rung, each.ap50_loss_pt, each.ci, each.spread_pt)
    return hold(f"{measure} of {each.name}", estimate, limit=limit, unit="pt")


def _list(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _sizes(rung: Rung, limit: float) -> Iterator[Check]:
    """Ask about small, medium and large boxes; together they have to be all boxes."""
    for size in rung.sizes:
        yield _size_loss(rung, size, limit)
    boxes = sum(size.boxes for size in rung.sizes)
    if boxes < sum(each.boxes for each in rung.classes) or not boxes:
        yield leave_open("mAP50-95 loss by size", "not all sizes of boxes were compared")


def _size_loss(rung: Rung, size: SizeLoss, limit: float) -> Check:
    measure = f"mAP50-95 loss of {size.name} boxes"
    if size.boxes < MIN_SIZE_BOXES:
        reason = f"{measure} {size.loss.loss_pt:.2f} pt: {size.boxes} boxes are too few to judge"
        return answer(measure, "pass", reason, value=size.loss.loss_pt, unit="pt")
    return _hold_loss(measure, rung, size.loss, limit)


def _threshold(rung: Rung, limit: float) -> Check:
    measure = "shift of the best threshold"
    if rung.threshold is None:
        return hold(measure, Estimate(value=math.nan), limit=limit)
    low, high = rung.threshold.interval
    nearest, furthest = abs(low), abs(high)
    if low <= 0 <= high:
        nearest, furthest = 0.0, max(nearest, furthest)
    elif nearest > furthest:
        nearest, furthest = furthest, nearest
    estimate = _estimate(rung, abs(rung.threshold.shift), (nearest, furthest))
    return hold(measure, estimate, limit=limit)


def _scores(rung: Rung, limit: float) -> Check:
    found = rung.true_scores
    value = math.nan if found is None or found.distance is None else found.distance
    promised = found is not None and None not in (found.baseline, found.candidate)
    return hold("distance of right scores", Estimate(value=value, promised=promised), limit=limit)


def _as_deployed(rung: Rung, limits: Limits) -> Iterator[Check]:
    """Ask what the application sees: detections above the deployed confidence."""
    if rung.deployed is None or rung.changes is None or rung.changes.lost_share is None:
        yield leave_open("detections as deployed", _why_not_deployed(rung.deployed))
        return
    deployed, at = rung.deployed, f"at confidence {rung.deployed.conf:g}"
    yield _hold_loss(f"recall loss {at}", rung, deployed.recall_loss, limits.recall_loss_pt)
    if deployed.precision_loss is None:
        yield leave_open(f"precision loss {at}", _why_not_deployed(deployed))
    else:
        yield _hold_loss(f"precision loss {at}", rung, deployed.precision_loss, limits.precision_loss_pt)
    yield _hold_loss(f"detections lost {at}", rung, rung.changes.lost_share, limits.lost_detections_pt)


def _why_not_deployed(deployed: Deployed | None) -> str:
    if deployed is None:
        return "detections at the deployed confidence were not compared"
    who = "the candidate" if deployed.baseline.detections else "the baseline"
    return f"{who} detects nothing at the deployed confidence {deployed.conf:g}"


def against_release(rung: Rung, terms: Terms) -> Iterator[Check]:
    """Ask about the loss against an earlier release."""
    than, released = f"against {terms.baseline}", rung.released
    if released is None:
        yield leave_open(f"drift {than}", f"not compared with what {terms.baseline} shipped")
        return
    drift = _estimate(rung, released.drift_pt, released.drift_ci_pt, released.spread_pt)
    yield hold(f"drift {than}", drift, limit=terms.limits.baseline_drift_pt, unit="pt")
    if {each.name for each in released.classes} != {each.name for each in rung.classes}:
        yield leave_open(f"AP50 loss {than}", f"not all classes were compared with {terms.baseline}")
    for each in released.classes:
        yield _class_loss(f"AP50 loss {than}", rung, each, terms.limits.class_ap50_loss_pt)


def _measurement(rung: Rung, terms: Terms) -> Iterator[Check]:
    """Ask whether the candidate was timed: really, lately, often enough, and within the budgets."""
    budgets = terms.limits.budgets(terms.budgets)
    if rung.simulated and not terms.limits.accept_simulated:
        yield leave_open("device", "simulated: not measured on the device itself")
        return  # its latency says nothing, for or against
    if rung.latency_ms is None:
        yield leave_open("latency", "latency was not measured")
    elif _was_lost(rung.latency_ms):
        yield lose("latency", unit="ms")
    else:
        yield _freshness(rung.measured_at, terms)
        if rung.doubts:
            yield from (leave_open("state of the board", doubt) for doubt in rung.doubts)
        elif budgets.p99_ms is not None:
            yield from _p99(rung.latency_ms, budgets.p99_ms)
    if budgets.memory_mib is not None:
        # One process tells both: `stages.verify.measure`, `targets.agent.measure`.
        memory = Estimate(value=rung.memory_mib, promised=not math.isnan(rung.startup_ms))
        yield hold("memory", memory, limit=budgets.memory_mib, unit="MiB")


def _was_lost(latency: LatencyFigures) -> bool:
    """Say whether a part of a latency is gone. The upper end of an interval may be: too few runs to know."""
    low, high = map(math.isnan, latency.p50_ci)
    return not 0 < latency.p50 < math.inf or (low and not high)


def was_timed(rung: Rung) -> bool:
    """Say whether a judged candidate has a latency that counts: of its own device, recent, undoubted."""
    evidence = {"device", "latency", "age of the latency", "state of the board"}
    answers = [check.verdict for check in rung.checks if check.measure in evidence]
    return bool(answers) and all(verdict == "pass" for verdict in answers)


def _p99(latency: LatencyFigures, limit_ms: float) -> Iterator[Check]:
    low, high = latency.p99_ci
    # A report cannot carry infinity: too few runs to know the upper end are NaN there, and still open.
    upper = math.inf if math.isnan(high) and not math.isnan(low) else high
    if latency.noise:
        yield leave_open("p99", f"p99 cannot be believed: {latency.noise}", latency.p99, "ms")
        return
    lost = math.isnan(low) and not math.isnan(latency.p50_ci[0])  # both come from the same samples
    estimate = Estimate(value=latency.p99, interval=(low, math.inf if lost else upper))
    yield hold("p99", estimate, limit=limit_ms, unit="ms")
    if latency.n < MIN_RUNS:
        yield leave_open("timed runs", f"{latency.n} timed runs, a p99 needs {MIN_RUNS}", latency.n)


def _freshness(measured_at: str | None, terms: Terms) -> Check:
    measure = "age of the latency"
    try:
        at = datetime.fromisoformat((measured_at or "").replace("Z", "+00:00"))
    except ValueError:
        return leave_open(measure, "when the latency was measured is not known")
    at = at if at.tzinfo else at.replace(tzinfo=timezone.utc)
    age_h = (terms.now - at).total_seconds() / 3600
    if -CLOCK_SKEW_H <= age_h <= terms.max_age_h:
        return answer(measure, "pass", f"latency is {age_h:.1f} h old", value=age_h, unit="h")
    if age_h < 0:
        return leave_open(
            measure, f"latency was measured in the future ({measured_at}): a clock is wrong", age_h, "h"
        )
    return leave_open(
        measure, f"latency is stale: {age_h:.1f} h old, limit {terms.max_age_h:.1f} h", age_h, "h"
    )
