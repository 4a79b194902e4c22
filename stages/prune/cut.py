"""Cut: one cut through a detector, from Ultralytics' blocks to Ultralytics' blocks."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from stages.gmac import Shape, copy_of, count_cost, count_macs, fused_away, shape_of
from stages.prune.aim import aim, give_back
from stages.prune.criteria import Criterion, Losses, Salience, measure_salience, score
from stages.prune.graph import Graph, Group
from stages.prune.rewrite import ScaledA2C2f, WholeDown, find_kept, find_unknown, fold, rewrite
from stages.prune.select import Removed, Rule, highest_ratio, select
from stages.prune.ties import Bundle, find_bundles
from stages.widths import settle
from targets.errors import UsageError


class Prunable:
    """A detector that can be cut once.

    Attributes:
        cost: Of the detector as it came.
        left_alone: Names of the modules that nobody knows how to cut.
    """

    def __init__(self, module: Any, *, side_px: int, skip_unknown: bool) -> None:
        """Rewrite a copy of `module`, and find out what may be cut.

        Args:
            module: A `DetectionModel` of Ultralytics' blocks, unfused.
            side_px: Of the input, for the GMAC.
            skip_unknown: Leave modules alone that nobody knows.

        Raises:
            UsageError: There are some, and they are not to be left alone.
            ModelError: torch-pruning cannot follow the model.
        """
        self.left_alone = tuple(find_unknown(module))
        if self.left_alone and not skip_unknown:
            raise _unknown_error(module, self.left_alone)
        self.cost = count_cost(module, side_px=side_px)
        self._module = copy_of(module).requires_grad_(requires_grad=True)
        rewrite(self._module)
        self._names = {part: name for name, part in self._module.named_modules()}
        alone = (*find_kept(self._module), *self.left_alone)
        self._graph = Graph(self._module, alone=alone, side_px=2 * int(module.stride.max()))
        self._macs = count_macs(self._module, side_px=side_px)
        self._shares = _shares(self._module)
        bundles = find_bundles(self._module, self._graph.groups)
        self._bundles = tuple(bundle for bundle in bundles if self._is_worth_it(bundle))

    def scores(self, criterion: Criterion, losses: Losses | None) -> dict[Group, torch.Tensor]:
        """Say what each channel is worth; `losses` for Taylor."""
        salience: Salience = {}
        if criterion == "taylor":
            assert losses is not None
            salience = measure_salience(self._module, losses)
        groups = (group for bundle in self._bundles for group in bundle.groups)
        return {group: score(group, criterion, salience) for group in groups}

    def _is_worth_it(self, bundle: Bundle) -> bool:
        """Tell a bundle from those of the head that only training needs, which a device never runs."""
        makers = {member.layer for group in bundle.groups for member in group.members if member.side == "out"}
        return any(self._shares.get(layer, 1.0) > 0 for layer in makers if isinstance(layer, nn.Conv2d))

    def by_ratio(self, ratio: float, scores: dict[Group, torch.Tensor], rule: Rule) -> Removed:
        """Choose the part `ratio` of the channels.

        Raises:
            UsageError: A layer would be left without channels, or there is nothing to cut.
        """
        if not self._bundles:
            raise UsageError(
                "There is nothing to prune: all channels are tied to modules that are left alone.",
                hint="Leave `prune` out of pipeline.yaml for this model.",
            )
        return select(self._bundles, scores, ratio=ratio, rule=rule)

    def by_gmac(self, target_gmac: float, scores: dict[Group, torch.Tensor], rule: Rule) -> Removed:
        """Choose as few channels as bring the detector down to `target_gmac`.

        Raises:
            UsageError: No choice does.
        """
        highest = highest_ratio(self._bundles, rule) if self._bundles else 0.0

        def choose(ratio: float) -> Removed:
            return self.by_ratio(ratio, scores, rule)

        if (least_gmac := self.gmac_without(choose(highest))) > target_gmac:
            raise UsageError(
                f"`prune.target_gmac: {target_gmac:g}` cannot be reached: with every layer cut as far as it "
                f"goes, {least_gmac:.3g} GMAC are left.",
                hint="Set prune.target_gmac higher, prune.round_to lower, or train a smaller model.",
            )
        cuts = aim(choose, self.gmac_without, target=target_gmac, highest=highest)
        return give_back(self._bundles, cuts, scores=scores, gmac=self.gmac_without, target=target_gmac)

    def gmac_without(self, removed: Removed) -> float:
        """Give the GMAC that will be left."""
        saved = sum(
            self._shares.get(conv, 1.0) * self._macs.get(self._names[conv], 0) * (1 - _part_left(conv, shape))
            for conv, shape in _shapes_without(removed).items()
        )
        return self.cost.gmac - saved / 1e9

    def without(self, removed: Removed) -> Any:
        """Cut, and give the detector, of Ultralytics' blocks again; this one is spent."""
        for group, channels in removed.items():
            if len(channels):
                self._graph.remove(group, channels)
        fold(self._module)
        settle(self._module)
        return self._module


def _shapes_without(removed: Removed) -> dict[nn.Conv2d, Shape]:
    """Give the widths of the convolutions that change."""
    shapes: dict[nn.Conv2d, Shape] = {}
    for group, channels in removed.items():
        gone = torch.zeros(group.width, dtype=torch.bool)
        gone[channels] = True
        for member in group.members:
            if not isinstance(member.layer, nn.Conv2d):
                continue
            inputs, outputs, groups = shapes.get(member.layer, shape_of(member.layer))
            fewer = int(gone[member.roots].sum())
            if groups > 1:  # depthwise
                shapes[member.layer] = (inputs - fewer, outputs - fewer, groups - fewer)
            elif member.side == "out":
                shapes[member.layer] = (inputs, outputs - fewer, groups)
            else:
                shapes[member.layer] = (inputs - fewer, outputs, groups)
    return shapes


def _part_left(conv: nn.Conv2d, shape: Shape) -> float:
    inputs, outputs, groups = shape
    return float(inputs * outputs / groups * conv.groups / (conv.in_channels * conv.out_channels))


def _shares(module: Any) -> dict[nn.Module, float]:
    """Give the part of a convolution's cost that the model on a device has, where that is not all of it."""
    shares: dict[nn.Module, float] = {}
    for part in module.modules():
        if isinstance(part, WholeDown):  # twice the inputs of the block that it stands for
            shares |= {part.cv1.conv: 0.5, part.cv2.conv: 0.5}
        elif isinstance(part, ScaledA2C2f):
            shares[part.scale] = 0.0
    return shares | {part: 0.0 for gone in fused_away(module) for part in gone.modules()}


def _unknown_error(module: Any, names: tuple[str, ...]) -> UsageError:
    kinds = [type(module.get_submodule(name)) for name in names]
    listed = ", ".join(
        f"{name} ({kind.__module__}.{kind.__qualname__})" for name, kind in zip(names, kinds, strict=True)
    )
    return UsageError(
        f"`prune` does not know how to cut {listed}.",
        hint="Set prune.skip_unknown to true to leave it, and all that is tied to it, as wide as it is.",
    )
