"""Session: one run of the prune stage, and the cutting that tuning can be put between."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stages.artifact import Artifact
from stages.checkpoint import load_module, load_packages, save_checkpoint
from stages.dataset import load_dataset
from stages.gmac import Cost, count_cost
from stages.prune import LayerWidth, Prune, Pruned, PruneInputs
from stages.prune.criteria import Losses
from stages.prune.cut import Prunable
from stages.prune.loss import calibration_losses
from stages.prune.select import Rule
from stages.stage import Progress
from stages.yolo import ULTRALYTICS_VERSION
from targets.errors import UsageError
from targets.model import load_model_spec

Tune = Callable[[Any, int], Any]
"""Takes a cut detector and the number of the cut, from 1; gives it tuned."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """What cutting made of a detector.

    Attributes:
        module: Of Ultralytics' blocks.
        before: What the detector cost.
        after: What it costs now.
        left_alone: Names of the modules that nobody knows how to cut.
    """

    module: Any
    before: Cost
    after: Cost
    left_alone: tuple[str, ...]


def prune(stage: Prune, inputs: PruneInputs, out: Path, progress: Progress) -> Pruned:
    """Run the stage."""
    check_settings(stage)
    torch.manual_seed(stage.seed)
    spec = load_model_spec(inputs.checkpoint.path)
    before = load_module(inputs.checkpoint)
    losses = None
    if stage.criterion == "taylor":
        calibration = load_dataset(inputs.index).calibration
        losses = calibration_losses(calibration, inputs.pictures, spec)
    progress(0, 2, "cutting")
    cut = cut_in_steps(stage, before, side_px=spec.input.width, losses=losses)
    progress(1, 2, "saving")
    folder = out / "checkpoint"
    save_checkpoint(
        cut.module,
        spec=replace(spec, parent_digest=inputs.checkpoint.digest),
        packages=load_packages(inputs.checkpoint),
        folder=folder,
        provenance=_provenance(stage, inputs, cut),
    )
    return Pruned(
        checkpoint=Artifact.of(folder),
        gmac_before=cut.before.gmac,
        gmac_after=cut.after.gmac,
        parameters_before=cut.before.parameters,
        parameters_after=cut.after.parameters,
        widths=_widths(before, cut.module),
        notes=_notes(cut),
    )


def cut_in_steps(
    stage: Prune, module: Any, *, side_px: int, losses: Losses | None = None, tune: Tune | None = None
) -> Cut:
    """Cut `module` in `stage.iterations` equal steps; it stays as it is.

    Args:
        stage: Its settings.
        module: A `DetectionModel` of Ultralytics' blocks, unfused.
        side_px: Of the input.
        losses: For the criterion `taylor`.
        tune: Called after every cut but the last.

    Raises:
        UsageError: The settings are wrong for this model.
        ModelError: torch-pruning cannot follow the model.
    """
    check_settings(stage)
    rule = Rule(scope=stage.scope, round_to=stage.round_to, reference=_outputs(module))
    prunable = Prunable(module, side_px=side_px, skip_unknown=stage.skip_unknown)
    before = prunable.cost
    _check_target(stage, before, side_px)
    for step in range(1, stage.iterations + 1):
        if step > 1:
            prunable = Prunable(module, side_px=side_px, skip_unknown=stage.skip_unknown)
        scores = prunable.scores(stage.criterion, losses)
        part = step / stage.iterations
        if stage.target_gmac is None:
            assert stage.ratio is not None
            removed = prunable.by_ratio(part * stage.ratio, scores, rule)
        else:
            goal = before.gmac - part * (before.gmac - stage.target_gmac)
            removed = prunable.by_gmac(goal, scores, rule)
        module = prunable.without(removed)
        if tune is not None and step < stage.iterations:
            module = tune(module, step)
    return Cut(
        module=module,
        before=before,
        after=count_cost(module, side_px=side_px),
        left_alone=prunable.left_alone,
    )


def check_settings(stage: Prune) -> None:
    """See that one goal is set, and can be one.

    Raises:
        UsageError: None is, or two are, or it is out of range.
    """
    if (stage.ratio is None) == (stage.target_gmac is None):
        raise UsageError(
            "`prune` needs one goal: `ratio` or `target_gmac`.",
            hint="Set prune.ratio, as 0.3, or prune.target_gmac, and not both.",
        )
    if stage.ratio is not None and not 0 < stage.ratio < 1:
        raise UsageError(
            f"`prune.ratio: {stage.ratio:g}` leaves no model: it is the part of the channels that goes.",
            hint="Set it above 0 and below 1; 0.4 is about half the GMAC.",
        )


def _check_target(stage: Prune, before: Cost, side_px: int) -> None:
    if stage.target_gmac is not None and stage.target_gmac >= before.gmac:
        raise UsageError(
            f"`prune.target_gmac: {stage.target_gmac:g}` is no less than what the model needs unpruned: "
            f"{before.gmac:.3g} GMAC at {side_px} px.",
            hint="Set prune.target_gmac lower, or leave `prune` out of pipeline.yaml.",
        )


def _outputs(module: nn.Module) -> Mapping[str, int]:
    """Give the widths that ratios are of, by name of the convolution as it will be when rewritten."""
    outputs = _plain_outputs(module)
    halves = {
        f"{name.removesuffix('.conv')}.{half}.conv": width // 2
        for name, width in outputs.items()
        for half in ("first", "second")
        if name.endswith("cv1.conv")
    }
    return outputs | halves


def _widths(before: nn.Module, after: nn.Module) -> tuple[LayerWidth, ...]:
    old, new = _plain_outputs(before), _plain_outputs(after)
    return tuple(
        LayerWidth(layer=name, before=width, after=new[name])
        for name, width in old.items()
        if new[name] != width
    )


def _plain_outputs(module: nn.Module) -> dict[str, int]:
    return {name: part.out_channels for name, part in module.named_modules() if isinstance(part, nn.Conv2d)}


def _provenance(stage: Prune, inputs: PruneInputs, cut: Cut) -> dict[str, object]:
    return {
        "prune": asdict(stage),
        "parent": inputs.checkpoint.digest,
        "before": asdict(cut.before),
        "after": asdict(cut.after),
        "ultralytics": ULTRALYTICS_VERSION,
    }


def _notes(cut: Cut) -> tuple[str, ...]:
    if not cut.left_alone:
        return ()
    return (f"Left as wide as they were, with all that is tied to them: {', '.join(cut.left_alone)}.",)
