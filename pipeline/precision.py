"""Precision: the FP16 and INT8 forms of a model for one target, as the target's dialect wants them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

from pipeline.config import Config
from pipeline.forms import Shared, Variant
from pipeline.int8 import Search
from pipeline.qat import teach
from pipeline.runner import Step
from pipeline.search import Task, search
from pipeline.verification import evaluate
from stages.artifact import Artifact
from stages.quantize import Quantized, QuantizeInputs
from stages.quantize.calibration import CalibrateInputs
from stages.quantize.equalize import Equalize, EqualizeInputs
from stages.quantize.half import Halved, HalveInputs
from stages.quantize.ranking import Rank
from stages.verify import Compare, CompareInputs, Evaluate, Measure
from targets.errors import BudgetError
from targets.profile import TargetProfile


@dataclass(frozen=True, kw_only=True)
class Lowered:
    """Forms of lower precision.

    Attributes:
        variants: FP16 first.
        quantized: What the INT8 form is like; None where the target has none.
        search: How it was found; None where no budget was given.
        notes: What a reader should know.
    """

    variants: tuple[Variant, ...]
    quantized: Quantized | None
    search: Search | None
    notes: tuple[str, ...]


def lower(
    config: Config, profile: TargetProfile, shared: Shared, onnx: Variant, *, step: Step, host: str
) -> Lowered:
    """Make the forms of lower precision that a target takes.

    Args:
        config: Of the run.
        profile: Of the target.
        shared: What all targets share.
        onnx: The FP32 export.
        step: Runs a stage, or knows its result.
        host: Fingerprint of this machine.

    Raises:
        BudgetError: No INT8 form is within `quantize.drift_budget_pt`, not even after training for it.
    """
    variants: list[Variant] = []
    notes: list[str] = []
    half: Artifact | None = None
    work = _Work(config=config, profile=profile, shared=shared, onnx=onnx, step=step, host=host)
    if "fp16" in profile.precisions:
        halved = _halved(work, onnx.model, label="fp16")
        half, notes = halved.onnx, [*halved.notes]
        variants.append(replace(onnx, form="quantize", precision="fp16", model=half, parent=onnx))
    if "int8" not in profile.precisions:
        return Lowered(variants=tuple(variants), quantized=None, search=None, notes=tuple(notes))
    int8 = _int8(work, half)
    return Lowered(
        variants=(*variants, *int8.variants),
        quantized=int8.quantized,
        search=int8.search,
        notes=(*notes, *int8.notes),
    )


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What quantization works with; `onnx` is the export that INT8 is held against."""

    config: Config
    profile: TargetProfile
    shared: Shared
    onnx: Variant
    step: Step
    host: str

    @property
    def baseline(self) -> Artifact:
        """Detections of the export."""
        return evaluate(self.onnx, self.profile, self.shared, step=self.step, host=self.host).detections


def _halved(work: _Work, onnx: Artifact, *, label: str) -> Halved:
    shared = work.shared
    inputs = HalveInputs(
        onnx=onnx, index=shared.data.index, pictures=shared.pictures, dialect=work.profile.dialect
    )
    return work.step(work.config.fp16, inputs, label=label)


def _int8(work: _Work, half: Artifact | None) -> Lowered:
    """Quantize by calibration; where that loses too much, train for INT8 if asked, and quantize that."""
    try:
        found = _quantized(work, work.onnx.model, parent=work.onnx, half=half)
        why = _excess(work, found)
    except BudgetError as exc:
        if work.config.quantize.qat is None:
            raise
        why = exc.what
    else:
        if not why:
            return found
    taught = teach(work.config, work.shared, work.step)
    if half is not None:
        half = _halved(work, taught.onnx, label="fp16 of qat").onnx
    made = _quantized(work, taught.onnx, parent=taught.form, half=half, ranges=taught.ranges)
    notes = (f"Trained for INT8, as calibration alone was not enough: {why}", *made.notes)
    return replace(made, variants=(taught.form, *made.variants), notes=notes)


def _excess(work: _Work, found: Lowered) -> str:
    """Say how far INT8 is beyond the gate, where that would lead to training; nothing if it is not."""
    config = work.config
    if config.quantize.qat is None or config.quantize.drift_budget_pt is not None:
        return ""
    int8 = evaluate(found.variants[-1], work.profile, work.shared, step=work.step, host=work.host)
    compared = work.step(
        Compare(resamples=config.verify.resamples),
        CompareInputs(baseline=work.baseline, candidate=int8.detections, index=work.shared.data.index),
        label=f"{found.variants[-1].title} against {work.onnx.title}",
    )
    if compared.drift_pt <= config.gate.int8_drift_pt:
        return ""
    return f"it loses {compared.drift_pt:.2f} pt, limit {config.gate.int8_drift_pt:.2f} pt."


def _quantized(
    work: _Work,
    model: Artifact,
    *,
    parent: Variant,
    half: Artifact | None,
    ranges: Artifact | None = None,
) -> Lowered:
    """Make the INT8 form of an export, or find one within the budget."""
    config, profile = work.config, work.profile
    inputs, notes = _calibrated(work, model, equalize=config.quantize.equalize and ranges is None)
    inputs = replace(inputs, half=half, ranges=ranges)
    record: Search | None = None
    if config.quantize.drift_budget_pt is None:
        quantized = work.step(config.quantize.stage, inputs, label="int8")
    else:
        searched = search(_task(config, profile, inputs, work.baseline, host=work.host), work.step)
        quantized, record = searched.quantized, searched.record
    form = replace(work.onnx, form="quantize", precision="int8", model=quantized.onnx, parent=parent)
    return Lowered(variants=(form,), quantized=quantized, search=record, notes=tuple(notes))


def _calibrated(work: _Work, model: Artifact, *, equalize: bool) -> tuple[QuantizeInputs, Iterable[str]]:
    """Give what a quantization needs, and what equalization and calibration noted."""
    shared, profile, step = work.shared, work.profile, work.step
    notes: list[str] = []
    if equalize:
        equalized = step(Equalize(), EqualizeInputs(onnx=model), label="equalize")
        model, notes = equalized.onnx, [*equalized.notes]
    seen = CalibrateInputs(onnx=model, index=shared.data.index, pictures=shared.pictures)
    calibrated = step(work.config.quantize.calibrate, seen, label="calibration")
    inputs = QuantizeInputs(
        onnx=model,
        statistics=calibrated.statistics,
        index=shared.data.index,
        pictures=shared.pictures,
        dialect=profile.dialect,
        runtime=profile.runtime,
        runtime_version=profile.runtime_version,
    )
    return inputs, (*notes, *calibrated.notes)


def _task(
    config: Config, profile: TargetProfile, inputs: QuantizeInputs, baseline: Artifact, *, host: str
) -> Task:
    """Say what the search has to find."""
    assert config.quantize.drift_budget_pt is not None
    return Task(
        quantize=config.quantize.stage,
        inputs=inputs,
        rank=Rank(quantize=config.quantize.stage),
        baseline=baseline,
        profile=profile,
        evaluate=Evaluate(runtime="onnxruntime", simulate=True),
        compare=Compare(resamples=config.verify.resamples),
        measure=Measure(runs=config.verify.runs),
        max_age=timedelta(hours=config.verify.max_age_h),
        host=host,
        budget_pt=config.quantize.drift_budget_pt,
    )
