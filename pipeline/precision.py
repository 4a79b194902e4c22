"""Precision: the FP16 and INT8 forms of a model for one target, as the target's dialect wants them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

from pipeline.config import Config
from pipeline.forms import Shared, Variant
from pipeline.int8 import Search
from pipeline.runner import Step
from pipeline.search import Task, search
from pipeline.verification import evaluate
from stages.artifact import Artifact
from stages.quantize import Quantized, QuantizeInputs
from stages.quantize.calibration import CalibrateInputs
from stages.quantize.equalize import Equalize, EqualizeInputs
from stages.quantize.half import HalveInputs
from stages.quantize.ranking import Rank
from stages.verify import Compare, Evaluate, Measure
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
        BudgetError: No INT8 form is within `quantize.drift_budget_pt`.
    """
    variants: list[Variant] = []
    notes: list[str] = []
    half: Artifact | None = None
    if "fp16" in profile.precisions:
        to_halve = HalveInputs(
            onnx=onnx.model, index=shared.data.index, pictures=shared.pictures, dialect=profile.dialect
        )
        halved = step(config.fp16, to_halve, label="fp16")
        half, notes = halved.onnx, [*halved.notes]
        variants.append(replace(onnx, form="quantize", precision="fp16", model=half, parent=onnx))
    if "int8" not in profile.precisions:
        return Lowered(variants=tuple(variants), quantized=None, search=None, notes=tuple(notes))
    inputs, more = _calibrated(config, profile, shared, onnx, step=step)
    notes += more
    inputs = replace(inputs, half=half)
    found: Search | None = None
    if config.quantize.drift_budget_pt is None:
        quantized = step(config.quantize.stage, inputs, label="int8")
    else:
        baseline = evaluate(onnx, profile, shared, step=step, host=host).detections
        searched = search(_task(config, profile, inputs, baseline, host=host), step)
        quantized, found = searched.quantized, searched.record
    variants.append(replace(onnx, form="quantize", precision="int8", model=quantized.onnx, parent=onnx))
    return Lowered(variants=tuple(variants), quantized=quantized, search=found, notes=tuple(notes))


def _calibrated(
    config: Config, profile: TargetProfile, shared: Shared, onnx: Variant, *, step: Step
) -> tuple[QuantizeInputs, Iterable[str]]:
    """Give what a quantization needs, and what equalization and calibration noted."""
    model, notes = onnx.model, []
    if config.quantize.equalize:
        equalized = step(Equalize(), EqualizeInputs(onnx=model), label="equalize")
        model, notes = equalized.onnx, [*equalized.notes]
    seen = CalibrateInputs(onnx=model, index=shared.data.index, pictures=shared.pictures)
    calibrated = step(config.quantize.calibrate, seen, label="calibration")
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
