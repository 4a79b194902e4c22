"""The plan: which steps a run takes, in order. Plain calls; a branch looks at earlier results.

Add a stage by calling it here. First comes all that makes something, then all that judges it, so that
`--until build` has every engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from pipeline.config import Config
from pipeline.forms import Made, Shared, Variant, Verified
from pipeline.runner import Step
from stages.artifact import Artifact
from stages.build import Build, BuildInputs
from stages.check import Check, Checked, CheckInputs
from stages.data import DataInputs, Prepared
from stages.data.render import RenderInputs
from stages.data.source import anchor
from stages.export import ExportInputs
from stages.quantize import QuantizeInputs
from stages.train import TrainInputs
from stages.user_modules import digest_modules
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
)
from stages.weights import find_weights
from targets.errors import UnsupportedError, UsageError
from targets.profile import Budgets, Dialect, TargetProfile


def refuse_impossible(config: Config, profiles: Iterable[TargetProfile]) -> None:
    """See that each target can have the precision that is to ship, and the Q/DQ graph that it takes.

    Raises:
        UsageError: One cannot.
    """
    wish = config.build.precision
    for profile in profiles:
        if wish not in ("auto", *profile.precisions):
            raise UsageError(
                f"`build.precision: {wish}`, but {profile.name} has {', '.join(profile.precisions)}.",
                hint="Set it to one of these, or to auto.",
            )
        if "int8" in profile.precisions and profile.dialect != Dialect():
            raise UsageError(
                f"{profile.name} wants {profile.dialect}, which the quantizer does not write yet.",
                hint=f"It writes {Dialect()}; leave int8 out of the profile's precisions, or the dialect.",
            )


def prepare_data(config: Config, step: Step, *, folder: Path) -> tuple[Prepared, Artifact]:
    """Check the data set, or render one and check that.

    Args:
        config: Of the run.
        step: Runs a stage, or knows its result.
        folder: Paths in the configuration are relative to it.

    Returns:
        What is known of the data set, and its pictures.
    """
    if config.demo is not None:
        settings, source = config.data, step(config.demo, RenderInputs(), label="render").data
    else:
        anchored = anchor(config.data, folder)
        settings, source = anchored.data, anchored.source
    stage = replace(settings, imgsz=config.train.imgsz)  # so that it judges sizes as training will see them
    data = step(stage, DataInputs(source=source), label="check")
    return data, Artifact(source.path, data.pictures_digest)


def make_shared(config: Config, data: Prepared, *, pictures: Artifact, step: Step, folder: Path) -> Shared:
    """Train and export: once, whatever the targets.

    Args:
        config: Of the run.
        data: The data set.
        pictures: Its pictures.
        step: Runs a stage, or knows its result.
        folder: Paths in the configuration are relative to it; downloads go to its `.edgebound/weights`.
    """
    weights = find_weights(config.model.weights, folder, folder / ".edgebound" / "weights")
    trained = step(
        replace(config.train, weights=config.model.weights),
        TrainInputs(
            index=data.index,
            pictures=pictures,
            weights=weights,
            modules=config.model.modules,
            modules_digest=digest_modules(config.model.modules),
        ),
    )
    exported = step(config.export, ExportInputs(checkpoint=trained.checkpoint))
    return Shared(data=data, pictures=pictures, trained=trained, exported=exported)


def make_candidates(config: Config, profile: TargetProfile, shared: Shared, step: Step) -> Made:
    """Check, quantize and build for one target.

    Raises:
        UnsupportedError: The target cannot run the model.
    """
    profile = technical(profile)
    baseline = Variant(form="train", precision="fp32", runtime="pytorch", model=shared.trained.checkpoint)
    onnx = Variant(
        form="export",
        precision="fp32",
        runtime="onnxruntime",
        model=shared.exported.onnx,
        parent=baseline,
    )
    checked = step(Check(), CheckInputs(model=onnx.model, profile=profile), label=profile.name)
    refuse_unsupported(checked, profile)
    variants = [baseline, onnx]
    if "int8" in profile.precisions:
        quantized = step(
            config.quantize,
            QuantizeInputs(
                onnx=onnx.model,
                index=shared.data.index,
                pictures=shared.pictures,
                dialect=profile.dialect,
            ),
            label="int8",
        )
        variants.append(replace(onnx, form="quantize", precision="int8", model=quantized.onnx, parent=onnx))
    if profile.local:
        variants += [*_engines(variants, profile, step)]
    return Made(variants=tuple(variants), notes=warnings(checked, profile))


def _engines(variants: Sequence[Variant], profile: TargetProfile, step: Step) -> Iterator[Variant]:
    sources = {variant.precision: variant for variant in variants}
    for precision in profile.precisions:
        source = sources[precision]
        built = step(
            Build(precision=precision),
            BuildInputs(model=source.model, profile=profile),
            label=f"{profile.runtime} {precision}",
        )
        yield Variant(
            form="build",
            precision=precision,
            runtime=profile.runtime,
            model=built.engine,
            parent=source,
            candidate=True,
        )


def technical(profile: TargetProfile) -> TargetProfile:
    """Give what of a profile an engine depends on: with other budgets it is still the same engine."""
    return replace(profile, budgets=Budgets(), sources={})


def warnings(checked: Checked, profile: TargetProfile) -> tuple[str, ...]:
    """Give what does not keep the target from running the model, but is worth knowing."""
    return tuple(
        f"check for {profile.name}: {finding.op} {finding.node}: {finding.reason} {finding.remedy}".strip()
        for finding in checked.findings
        if finding.severity == "warning"
    )


def refuse_unsupported(checked: Checked, profile: TargetProfile) -> None:
    """Stop where an operator is missing.

    Raises:
        UnsupportedError: With all operators that are.
    """
    missing = [finding for finding in checked.findings if finding.severity == "error"]
    if missing:
        first = missing[0]
        names = ", ".join(sorted({finding.op for finding in missing}))
        raise UnsupportedError(
            f"{profile.name} cannot run this model ({names}): {first.node}: {first.reason}", hint=first.remedy
        )


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
        profile: Of the target.
        shared: What all targets share.
        variants: Parents first, the baseline at the very front.
        step: Runs a stage, or knows its result.
        host: Fingerprint of this machine; engines' kernels depend on it, so their results do.
    """
    profile = technical(profile)
    evaluated = {one.id: _evaluate(one, profile, shared, step=step, host=host) for one in variants}
    engines = [one for one in variants if one.candidate]
    measured = _measure(config, profile, shared, engines, step=step, host=host) if engines else None
    compare = Compare(resamples=config.verify.resamples)
    base = variants[0]

    def drift(reference: Variant, variant: Variant) -> Compared:
        return step(
            compare,
            CompareInputs(
                baseline=evaluated[reference.id].detections,
                candidate=evaluated[variant.id].detections,
                index=shared.data.index,
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
            measured=(measured, engines.index(one)) if measured is not None and one.candidate else None,
        )
        for one in variants
    ]


def _evaluate(
    variant: Variant, profile: TargetProfile, shared: Shared, *, step: Step, host: str
) -> Evaluated:
    stage = Evaluate(runtime=variant.runtime, simulate=not variant.candidate)
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
