"""Verification: the steps that judge what a plan made. Plain calls, as in the plan."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from pipeline.config import Config
from pipeline.forms import Shared, Variant, Verified
from pipeline.runner import Step
from stages.evaluation.parity import PointParity
from stages.verify import (
    Compare,
    Compared,
    CompareInputs,
    Evaluate,
    Evaluated,
    EvaluateInputs,
    Measure,
    Measured,
    MeasureInputs,
    Score,
    ScoreInputs,
)
from stages.verify.parity import Parity, ParityInputs
from targets.profile import TargetProfile

_SAME_WEIGHTS = ("export", "quantize", "build")  # what these change is how the same numbers are computed


def verify(
    config: Config,
    profile: TargetProfile,
    shared: Shared,
    variants: Sequence[Variant],
    *,
    step: Step,
    host: str,
) -> list[Verified]:
    """Evaluate every form, compare it with the baseline and its parent, and time the engines.

    Args:
        config: Of the run.
        profile: Of the target, without what no engine depends on.
        shared: What all targets share.
        variants: Parents first, the baseline at the very front.
        step: Runs a stage, or knows its result.
        host: Fingerprint of this machine; engines' kernels depend on it, so their results do.
    """
    evaluated = {one.id: evaluate(one, profile, shared, step=step, host=host) for one in variants}
    here = [one for one in variants if one.candidate and one.measured is None]
    timed = _measure(config, profile, shared, here, step=step, host=host) if here else None
    base = variants[0]
    compare = Compare(resamples=config.verify.resamples)

    def drift(reference: Variant, variant: Variant) -> Compared:
        return step(
            compare,
            CompareInputs(
                baseline=evaluated[reference.id].detections,
                candidate=evaluated[variant.id].detections,
                index=shared.data.index,
                model=variant.model,
            ),
            label=f"{variant.title} against {reference.title}",
        )

    drifts = {one.id: drift(base, one) for one in variants[1:]}
    return [
        Verified(
            variant=one,
            evaluated=evaluated[one.id],
            drift=drifts.get(one.id),
            step_drift=drifts.get(one.id) if one.parent in (None, base) else drift(one.parent, one),
            measured=(timed, here.index(one)) if timed is not None and one in here else one.measured,
            parity=_parity(one, profile, shared, step=step, host=host),
        )
        for one in variants
    ]


def _parity(
    variant: Variant, profile: TargetProfile, shared: Shared, *, step: Step, host: str
) -> tuple[PointParity, ...]:
    """Compare tensors with those of the form this one was made from, where the weights are the same."""
    if variant.parent is None or variant.form not in _SAME_WEIGHTS or variant.detections is not None:
        return ()
    inputs = ParityInputs(
        reference=variant.parent.model,
        candidate=variant.model,
        index=shared.data.index,
        pictures=shared.pictures,
        profile=profile if variant.candidate else None,
        host=host if variant.candidate else "",
    )
    return step(Parity(), inputs, label=f"{variant.title} beside {variant.parent.title}").points


def evaluate(variant: Variant, profile: TargetProfile, shared: Shared, *, step: Step, host: str) -> Evaluated:
    """Evaluate one form; an ONNX file in float simulation, an engine by its own kernels, maybe on a board."""
    if variant.detections is not None:
        found = ScoreInputs(detections=variant.detections, index=shared.data.index, model=variant.model)
        return step(Score(), found, label=variant.title)
    stage = Evaluate(runtime=variant.runtime, simulate=not variant.candidate and variant.runtime != "pytorch")
    inputs = EvaluateInputs(
        model=variant.model,
        index=shared.data.index,
        pictures=shared.pictures,
        profile=profile if variant.candidate else None,
        host=host if variant.candidate else "",
    )
    return step(stage, inputs, label=variant.title)


def _measure(
    config: Config,
    profile: TargetProfile,
    shared: Shared,
    engines: Sequence[Variant],
    *,
    step: Step,
    host: str,
) -> Measured:
    inputs = MeasureInputs(
        engines=tuple(engine.model for engine in engines),
        index=shared.data.index,
        pictures=shared.pictures,
        profile=profile,
        host=host,
    )
    age = timedelta(hours=config.verify.max_age_h)
    return step(Measure(runs=config.verify.runs), inputs, label="latency", max_age=age)
