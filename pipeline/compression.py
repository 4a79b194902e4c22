"""Compression of the trained model, once for all targets: a student of its own, pruning, fine-tuning.

The baseline is the teacher of both. A cut model is shown in the ladder before it is tuned, and never judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.config import Config
from pipeline.forms import Cost, Shared, Variant
from pipeline.frontier import Point, search_ratio, search_speed
from pipeline.runner import Step
from pipeline.sections import PruneSection
from pipeline.speed import Speed, Speedometer
from stages.artifact import Artifact
from stages.data import Prepared
from stages.prune import Prune, Pruned, PruneInputs
from stages.train import Train, TrainInputs
from stages.user_modules import digest_modules
from stages.verify import Compare, CompareInputs, Evaluate, EvaluateInputs
from stages.weights import find_weights
from targets.profile import TargetProfile


@dataclass(frozen=True, kw_only=True)
class Compressed:
    """What became of the trained model.

    Attributes:
        forms: The baseline and what was made of it, parents first; the last one is exported.
        costs: Of the forms, by their ids, as far as pruning has counted them.
        frontier: What each ratio gave that was tried; empty without a sweep.
        notes: What a person should know.
    """

    forms: tuple[Variant, ...]
    costs: Mapping[str, Cost]
    frontier: tuple[Point, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What compression works with."""

    config: Config
    section: PruneSection
    data: Prepared
    pictures: Artifact
    baseline: Variant
    step: Step
    speedometer: Speedometer


def compress(
    config: Config,
    shared: Shared,
    profiles: Mapping[str, TargetProfile],
    *,
    step: Step,
    host: str,
    folder: Path,
) -> Compressed:
    """Distill and prune as the configuration asks.

    Args:
        config: Of the run.
        shared: The data set, and the trained baseline as the only form.
        profiles: Of the targets, by the names that they were asked for.
        step: Runs a stage, or knows its result.
        host: Fingerprint of this machine.
        folder: Paths in the configuration are relative to it.

    Raises:
        UsageError: A setting does not fit the model.
        BudgetError: No ratio is within `prune.max_drift_pt` or `prune.target_latency_ms`.
    """
    forms = [*shared.forms]
    if config.distill is not None:
        forms.append(_distill(config, shared, step=step, folder=folder))
    if config.prune is None:
        return Compressed(forms=tuple(forms), costs={}, frontier=(), notes=())
    work = _Work(
        config=config,
        section=config.prune,
        data=shared.data,
        pictures=shared.pictures,
        baseline=shared.forms[0],
        step=step,
        speedometer=Speedometer(config=config, profiles=profiles, shared=shared, step=step, host=host),
    )
    return _prune(work, forms)


def _distill(config: Config, shared: Shared, *, step: Step, folder: Path) -> Variant:
    assert config.distill is not None
    student, baseline = config.distill.student, shared.forms[0]
    inputs = TrainInputs(
        index=shared.data.index,
        pictures=shared.pictures,
        weights=find_weights(student, folder, folder / ".edgebound" / "weights"),
        teacher=baseline.model,
        modules=config.model.modules,
        modules_digest=digest_modules(config.model.modules),
    )
    trained = step(replace(config.train, weights=student), inputs, label=f"student {student}")
    return replace(baseline, form="distill", model=trained.checkpoint, parent=baseline)


def _prune(work: _Work, forms: Sequence[Variant]) -> Compressed:
    """Cut and tune; where there is a goal to search for, to the ratio that meets it."""
    origin = forms[-1]
    goal, frontier = _goal(work, origin)
    if goal is None:
        note = f"Nothing was pruned: {frontier[0].latency_ms:.3g} ms uncut ({frontier[0].latency_source})."
        return Compressed(forms=tuple(forms), costs={}, frontier=frontier, notes=(note,))
    whole, cut, tuned = _cut_and_tune(work, origin, goal)
    before = Cost(gmac=whole.gmac_before, parameters=whole.parameters_before)
    after = Cost(gmac=cut.gmac_after, parameters=cut.parameters_after)
    untuned = replace(origin, form="cut", model=cut.checkpoint, parent=origin)
    done = replace(origin, form="prune", model=tuned, parent=origin)
    return Compressed(
        forms=(*forms, untuned, done),
        costs={origin.id: before, untuned.id: after, done.id: after},
        frontier=frontier,
        notes=cut.notes,
    )


def _goal(work: _Work, origin: Variant) -> tuple[PruneSection | None, tuple[Point, ...]]:
    """Give the section with the ratio that a search found, None for no cut, and what was tried."""
    section = work.section
    if section.target_latency_ms is not None:
        ratio, frontier = search_speed(
            lambda ratio: _timed(work, origin, ratio), target_ms=section.target_latency_ms
        )
    elif section.ratios or section.max_drift_pt is not None:
        limit = section.max_drift_pt
        ratio, frontier = search_ratio(
            section.ratios,
            lambda ratio: _point(work, origin, ratio),
            limit_pt=work.config.gate.prune_drift_pt if limit is None else limit,
            must=limit is not None,
        )
    else:
        return section, ()
    return (_at(section, ratio) if ratio else None), frontier


def _at(section: PruneSection, ratio: float) -> PruneSection:
    return replace(section, ratio=ratio, target_gmac=None)


def _timed(work: _Work, origin: Variant, ratio: float) -> Point:
    """See how fast the model is when it is cut by a ratio; 0 leaves it whole."""
    if not ratio:
        speed = work.speedometer.slowest(origin.model, "uncut")
        return _with_speed(Point(ratio=0.0), speed)
    goal = _at(work.section, ratio)
    cut = _cut(work, origin.model, goal.stage, label=_words(goal))
    speed = work.speedometer.slowest(cut.checkpoint, _words(goal))
    return _with_speed(_sized(ratio, cut), speed)


def _sized(ratio: float, cut: Pruned) -> Point:
    return Point(
        ratio=ratio, gmac=cut.gmac_after, gmac_before=cut.gmac_before, parameters=cut.parameters_after
    )


def _with_speed(point: Point, speed: Speed) -> Point:
    return replace(point, latency_ms=speed.ms, latency_source=speed.source)


def _point(work: _Work, origin: Variant, ratio: float) -> Point:
    """See what a ratio costs in accuracy, and what it gives in speed if that can be told."""
    goal = _at(work.section, ratio)
    whole, cut, tuned = _cut_and_tune(work, origin, goal)
    label = _words(goal)
    baseline, candidate = (
        work.step(
            Evaluate(runtime="pytorch"),
            EvaluateInputs(model=model, index=work.data.index, pictures=work.pictures, profile=None, host=""),
            label=name,
        )
        for model, name in ((work.baseline.model, "pytorch fp32"), (tuned, label))
    )
    compared = work.step(
        Compare(resamples=work.config.verify.resamples),
        CompareInputs(baseline=baseline.detections, candidate=candidate.detections, index=work.data.index),
        label=f"{label} against pytorch fp32",
    )
    sized = replace(_sized(ratio, cut), gmac_before=whole.gmac_before)
    timed = _with_speed(sized, work.speedometer.slowest(cut.checkpoint, label))
    return replace(timed, drift_pt=compared.drift_pt, drift_ci_pt=compared.drift_ci_pt)


def _cut_and_tune(work: _Work, origin: Variant, goal: PruneSection) -> tuple[Pruned, Pruned, Artifact]:
    """Cut to the goal, in as many steps as asked, each tuned.

    Returns:
        The whole cut at once, the last one, and its tuned form.
    """
    whole = _cut(work, origin.model, goal.stage, label=_words(goal))
    cut, tuned = whole, origin.model
    for place in range(1, goal.iterations + 1):
        if goal.iterations > 1:
            stage = _part(goal, whole, place)
            cut = _cut(work, tuned, stage, label=f"{_words(goal)}, {place} of {goal.iterations}")
        tuned = _tune(work, cut, goal, label=f"fine-tune {_words(goal)}, {place} of {goal.iterations}")
    return whole, cut, tuned


def _part(goal: PruneSection, whole: Pruned, place: int) -> Prune:
    """Give a cut on the way: equal parts of what the whole cut saves."""
    saved = whole.gmac_before - whole.gmac_after
    return replace(goal.stage, ratio=None, target_gmac=whole.gmac_before - saved * place / goal.iterations)


def _words(goal: PruneSection) -> str:
    return f"to {goal.target_gmac:g} GMAC" if goal.target_gmac is not None else f"ratio {goal.ratio:g}"


def _cut(work: _Work, model: Artifact, stage: Prune, *, label: str) -> Pruned:
    inputs = PruneInputs(
        checkpoint=model,
        index=work.data.index,
        pictures=work.pictures,
        modules_digest=digest_modules(work.config.model.modules),
    )
    return work.step(stage, inputs, label=label)


def _tune(work: _Work, cut: Pruned, goal: PruneSection, *, label: str) -> Artifact:
    settings = work.config.train
    stage: Train = replace(
        settings,
        weights="",
        steps=max(goal.steps // goal.iterations, 1),
        lr0=settings.lr0 * goal.lr_factor,
        distill_weight=goal.distill_weight,
        patience=0,
        # Ultralytics warms biases up at 0.1 where the optimizer is named: too hot for a trained model.
        overrides={"warmup_bias_lr": 0.0, **settings.overrides},
    )
    inputs = TrainInputs(
        index=work.data.index,
        pictures=work.pictures,
        weights=cut.checkpoint,
        teacher=work.baseline.model if goal.distill else None,
        modules=work.config.model.modules,
        modules_digest=digest_modules(work.config.model.modules),
    )
    return work.step(stage, inputs, label=label).checkpoint
