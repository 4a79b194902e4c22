"""Prune: cut the channels that matter least out of a checkpoint; what is left is still Ultralytics' model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Lt

from stages.artifact import Artifact
from stages.stage import Progress

__all__ = ["LayerWidth", "Prune", "PruneInputs", "Pruned"]


@dataclass(frozen=True, kw_only=True)
class PruneInputs:
    """What is pruned.

    Attributes:
        checkpoint: As `stages.checkpoint` writes it.
        index: Prepared data set; its calibration pictures say what matters, for the criterion `taylor`.
        pictures: Root of its pictures.
        modules_digest: Of the source of the user's packages, so that a change of it is noticed.
    """

    checkpoint: Artifact
    index: Artifact
    pictures: Artifact
    modules_digest: str = ""


@dataclass(frozen=True, kw_only=True)
class LayerWidth:
    """A convolution that was cut.

    Attributes:
        layer: Its name.
        before: Output channels before the cut.
        after: Output channels after it.
    """

    layer: str
    before: int
    after: int


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """The cut model, not tuned yet.

    Attributes:
        checkpoint: As `stages.checkpoint` writes it; its `pruned.pt` is for people who go on in Ultralytics.
        gmac_before: Multiply-accumulates of one picture, in 10⁹, fused as on a device.
        gmac_after: Likewise.
        parameters_before: Of the fused model.
        parameters_after: Likewise.
        widths: All that changed.
        notes: What a person should know, a sentence each.
    """

    checkpoint: Artifact
    gmac_before: float
    gmac_after: float
    parameters_before: int
    parameters_after: int
    widths: tuple[LayerWidth, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Prune:
    """Prune by a dependency graph: either a part of the channels, or down to a cost.

    Attributes:
        ratio: Part of the channels that go, 0 to 1. Of each layer, half leave about a quarter of the GMAC.
        target_gmac: What one picture may cost, in 10⁹ multiply-accumulates, instead of a ratio.
        criterion: What a channel is worth: what the loss on calibration pictures says (`taylor`), its
            weights, or its scales.
        scope: `global` cuts what matters least anywhere, `layer` the same part of every layer.
        round_to: Widths that change become multiples of this; 8 suits CPUs and most accelerators, 16 and 32
            suit Tensor Cores.
        iterations: Cuts on the way; fine-tuning goes between them.
        skip_unknown: Leave modules alone that nobody knows how to cut, and all that is tied to them.
        seed: Of all that is random.
    """

    name: ClassVar[str] = "prune"
    resumes: ClassVar[bool] = False

    ratio: Annotated[float, Gt(0), Lt(1)] | None = None
    target_gmac: Annotated[float, Gt(0)] | None = None
    criterion: Literal["magnitude", "bn_scale", "taylor"] = "taylor"
    scope: Literal["layer", "global"] = "global"
    round_to: Annotated[int, Ge(1)] = 8
    iterations: Annotated[int, Ge(1)] = 1
    skip_unknown: bool = False
    seed: Annotated[int, Ge(0), Lt(2**32)] = 0

    def run(self, inputs: PruneInputs, out: Path, progress: Progress) -> Pruned:
        """Cut, and see that the cut model can be rebuilt.

        Raises:
            UsageError: A setting is wrong for this model, or it has modules that nobody knows how to cut.
            ModelError: The checkpoint is damaged, or torch-pruning cannot follow the model.
        """
        from stages.prune.session import prune

        return prune(self, inputs, out, progress)
