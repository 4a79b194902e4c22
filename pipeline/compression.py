"""Compression of the trained model, once for all targets: a student of its own, pruning, fine-tuning.

The baseline is the teacher of both. A cut model is shown in the ladder before it is tuned, and never judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.config import Config, PruneSection
from pipeline.forms import Cost, Variant
from pipeline.frontier import Point, search_ratio
from pipeline.runner import Step
from stages.artifact import Artifact
from stages.data import Prepared
from stages.prune import Prune, Pruned, PruneInputs
from stages.train import Train, TrainInputs
from stages.user_modules import digest_modules
from stages.verify import Compare, CompareInputs, Evaluate, EvaluateInputs
from stages.weights import find_weights


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


def compress(
    config: Config, data: Prepared, checkpoint: Artifact, *, pictures: Artifact, step: Step, folder: Path
) -> Compressed:
    """Distill and prune as the configuration asks.

    Args:
        config: Of the run.
        data: The data set.
        checkpoint: The trained baseline.
        pictures: Of the data set.
        step: Runs a stage, or knows its result.
        folder: Paths in the configuration are relative to it.

    Raises:
        UsageError: A setting does not fit the model.
        BudgetError: No ratio is within `prune.max_drift_pt`.
    """
    baseline = Variant(form="train", precision="fp32", runtime="pytorch", model=checkpoint)
    forms = [baseline]
    if config.distill is not None:
        forms.append(_distill(config, data, baseline, pictures=pictures, step=step, folder=folder))
    if config.prune is None:
        return Compressed(forms=tuple(forms), costs={}, frontier=(), notes=())
    work = _Work(
        config=config, section=config.prune, data=data, pictures=pictures, baseline=baseline, step=step
    )
    return _prune(work, forms)


def _distill(
    config: Config, data: Prepared, baseline: Variant, *, pictures: Artifact, step: Step, folder: Path
) -> Variant:
    assert config.distill is not None
    student = config.distill.student
    inputs = TrainInputs(
        index=data.index,
        pictures=pictures,
        weights=find_weights(student, folder, folder / ".edgebound" / "weights"),
        teacher=baseline.model,
        modules=config.model.modules,
        modules_digest=digest_modules(config.model.modules),
    )
    trained = step(replace(config.train, weights=student), inputs, label=f"student {student}")
    return replace(baseline, form="distill", model=trained.checkpoint, parent=baseline)


def _prune(work: _Work, forms: Sequence[Variant]) -> Compressed:
    """Cut and tune; of several ratios, go on with the one that the goal asks for."""
    origin = forms[-1]
    section = work.section
    if section.ratios or section.max_drift_pt is not None:
        chosen, frontier = search_ratio(
            section.ratios,
            lambda ratio: _point(work, origin, ratio),
            limit_pt=work.config.gate.prune_drift_pt
            if section.max_drift_pt is None
            else section.max_drift_pt,
            must=section.max_drift_pt is not None,
        )
        goal = replace(section, ratio=chosen, target_gmac=None)
    else:
        goal, frontier = section, ()
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


def _point(work: _Work, origin: Variant, ratio: float) -> Point:
    """See what a ratio gives."""
    whole, cut, tuned = _cut_and_tune(work, origin, replace(work.section, ratio=ratio, target_gmac=None))
    label = f"ratio {ratio:g}"
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
    return Point(
        ratio=ratio,
        gmac=cut.gmac_after,
        gmac_before=whole.gmac_before,
        parameters=cut.parameters_after,
        drift_pt=compared.drift_pt,
        drift_ci_pt=compared.drift_ci_pt,
    )


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
        patience=0,
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
