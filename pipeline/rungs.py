"""From the results of stages to what the report holds: rungs of the ladder, data, training curve."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from pipeline.board import doubts_of
from pipeline.forms import Cost, Made, Variant, Verified
from pipeline.int8 import Placement
from pipeline.ladder import (
    MISSING,
    ClassCount,
    ClassFigures,
    DataSummary,
    Epoch,
    LatencyFigures,
    PointParity,
    Rung,
)
from pipeline.runner import Runner
from stages.artifact import walk
from stages.data import Prepared
from stages.train import Trained
from stages.verify import Compared, Evaluated
from targets.latency import Latency, interval, noise
from targets.receipt import EngineReceipt, Receipt


def rungs(
    forms: Sequence[Verified], runner: Runner, costs: Mapping[str, Cost], receipt: Receipt | None = None
) -> tuple[Rung, ...]:
    """Give the ladder of one target, not judged yet; with what its board says of the engines."""
    ladder = tuple(_costed(_rung(form, runner), form.variant, costs) for form in forms)
    if receipt is None:
        return ladder
    told = {one.precision: one for one in receipt.engines}
    on_board = (_told(rung, told[rung.precision], receipt) if rung.candidate else rung for rung in ladder)
    failed = (_failed(one, ladder) for one in receipt.engines if one.failed)
    return (*on_board, *failed)


def _costed(rung: Rung, variant: Variant, costs: Mapping[str, Cost]) -> Rung:
    """Give a rung with what it costs: what is counted for it, or for the form it was made from."""
    at: Variant | None = variant
    while at is not None and at.id not in costs:
        at = at.parent if at.runtime != "pytorch" or at.form == "qat" else None
    return rung if at is None else replace(rung, gmac=costs[at.id].gmac, parameters=costs[at.id].parameters)


def _told(rung: Rung, one: EngineReceipt, receipt: Receipt) -> Rung:
    """Give a rung with what only the board can tell."""
    unsteady = tuple(
        f"the latency of {one.id} never became steady" for timing in one.timings[:1] if not timing.steady
    )
    return replace(
        rung,
        simulated=receipt.simulated,
        doubts=(*doubts_of(receipt), *unsteady),
        memory_mib=math.nan if one.memory_mib is None else one.memory_mib,
        startup_ms=math.nan if one.startup_s is None else 1000 * one.startup_s,
    )


def _failed(one: EngineReceipt, ladder: Sequence[Rung]) -> Rung:
    """Give a rung for an engine that its board could not build."""
    made_from = next(
        rung for rung in reversed(ladder) if rung.precision == one.precision and not rung.candidate
    )
    return replace(
        made_from,
        id=f"build-{one.precision}",
        parent=made_from.id,
        form="build",
        candidate=True,
        verdict="unsupported" if one.unsupported else "error",
        reasons=(one.failed,),
        map50_95=math.nan,
        map50=math.nan,
        drift_pt=math.nan,
        step_drift_pt=math.nan,
        drift_ci_pt=MISSING,
        step_drift_ci_pt=MISSING,
        drift_spread_pt=math.nan,
        step_drift_spread_pt=math.nan,
        size_bytes=0,
        classes=(),
        f1_threshold=math.nan,
        sizes=(),
        threshold=None,
        deployed=None,
        true_scores=None,
        changes=None,
        curves=None,
        detections="",
        digest="",
        parity=(),
    )


def _rung(form: Verified, runner: Runner) -> Rung:
    variant = form.variant
    measured = form.measured[0] if form.measured else None
    return Rung(
        id=variant.id,
        parent=variant.parent.id if variant.parent else None,
        form=variant.form,
        precision=variant.precision,
        runtime=variant.runtime,
        candidate=variant.candidate,
        map50_95=form.evaluated.map50_95,
        map50=form.evaluated.map50,
        **_drifts(form),
        latency_ms=_latency(form),
        size_bytes=sum(file.stat().st_size for _, file in walk(variant.model.path)),
        host=measured.host if measured else "",
        simulated=False,
        cached=runner.step_of(form.evaluated).cached,
        classes=class_figures(form.evaluated, form.drift),
        f1_threshold=form.evaluated.f1_threshold,
        pictures=form.evaluated.pictures,
        measured_at=measured.measured_at if measured else None,
        curves=form.evaluated.curves,
        detections=form.evaluated.detections.digest,
        digest=variant.model.digest,
        parity=tuple(PointParity(**asdict(point)) for point in form.parity),
        **beyond_map(form.drift),
        **_start(form),
    )


def _drifts(form: Verified) -> dict[str, Any]:
    """Give loss, interval and spread against the baseline and the parent; of the baseline, nothing lost."""
    drift, step = form.drift, form.step_drift
    return {
        "drift_pt": drift.drift_pt if drift else 0.0,
        "drift_ci_pt": drift.drift_ci_pt if drift else (0.0, 0.0),
        "drift_spread_pt": drift.spread_pt if drift else 0.0,
        "step_drift_pt": step.drift_pt if step else 0.0,
        "step_drift_ci_pt": step.drift_ci_pt if step else (0.0, 0.0),
        "step_drift_spread_pt": step.spread_pt if step else 0.0,
    }


def beyond_map(drift: Compared | None) -> dict[str, Any]:
    """Give what mAP hides, against the baseline."""
    if drift is None:
        return {}
    names = ("sizes", "threshold", "deployed", "true_scores", "changes")
    return {name: getattr(drift, name) for name in names}


def _latency(form: Verified) -> LatencyFigures | None:
    if form.measured is None:
        return None
    measured, place = form.measured
    steady = measured.steady[place] if measured.steady else True  # of boards, their receipt tells
    whole = _figures(measured.end_to_end[place]) if measured.end_to_end else None
    alone = measured.latencies[place]
    return replace(_figures(alone), noise=noise(alone.samples, steady=steady), end_to_end=whole)


def _figures(latency: Latency) -> LatencyFigures:
    return LatencyFigures(
        p50=latency.p50,
        p90=latency.p90,
        p99=latency.p99,
        n=latency.n,
        samples=latency.samples,
        p50_ci=interval(latency.samples, 0.5),
        p90_ci=interval(latency.samples, 0.9),
        p99_ci=interval(latency.samples, 0.99),
        cov=latency.cov,
        img_s=1000 / latency.mean,
    )


def _start(form: Verified) -> dict[str, Any]:
    """Give what starting an engine took, where it was started here."""
    if form.measured is None or not form.measured[0].starts:
        return {}
    start = form.measured[0].starts[form.measured[1]]
    return {"startup_ms": start.startup_ms, "memory_mib": start.memory_mib}


def class_figures(evaluated: Evaluated, drift: Compared | None) -> tuple[ClassFigures, ...]:
    """Give each class's AP, with its loss where the form was compared."""
    losses = {one.name: one for one in drift.classes} if drift else {}
    return tuple(
        ClassFigures(
            name=one.name,
            ap50=one.ap50,
            ap50_95=one.ap50_95,
            ap50_loss_pt=losses[one.name].ap50_loss_pt if one.name in losses else math.nan,
            ci=losses[one.name].ci_pt if one.name in losses else MISSING,
            spread_pt=losses[one.name].spread_pt if one.name in losses else math.nan,
            boxes=one.boxes,
        )
        for one in evaluated.classes
    )


def placement(made: Made) -> Placement | None:
    """Give what of the model became INT8, for the report."""
    if made.quantized is None:
        return None
    return Placement(summary=made.quantized.summary, left_out=made.quantized.left_out)


def data_summary(data: Prepared) -> DataSummary:
    """Give the data set's figures for the report."""
    return DataSummary(
        train=data.train_pictures,
        val=data.val_pictures,
        calibration=data.calibration_pictures,
        classes=tuple(
            ClassCount(name=one.name, train=one.train_boxes, val=one.val_boxes)
            for one in data.summary.classes
        ),
        warnings=data.notes,
    )


def epochs(trained: Trained) -> tuple[Epoch, ...]:
    """Give the training curve for the report."""
    return tuple(
        Epoch(
            epoch=one.epoch,
            map50_95=math.nan if one.map50_95 is None else one.map50_95,
            map50=math.nan if one.map50 is None else one.map50,
            losses={"box": one.box_loss, "cls": one.cls_loss, "dfl": one.dfl_loss},
        )
        for one in trained.epochs
    )
