"""Select: how many channels of each group are left, and which."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from stages.prune.graph import Group
from stages.prune.ties import Bundle
from targets.errors import UsageError

Scope = Literal["layer", "global"]
Removed = dict[Group, torch.Tensor]
"""By group: its channels that go, in rising order; none, where it stays."""

FLOOR = 0.1  # global: what every layer keeps of its channels, so that none is cut through


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How channels are chosen.

    Attributes:
        scope: `layer` takes the same part of every layer, `global` the least important of all layers.
        round_to: Widths that are changed become multiples of this.
        reference: Widths before the first cut, by name of the root; missing ones are as they are now.
    """

    scope: Scope
    round_to: int
    reference: Mapping[str, int]

    def width_before(self, bundle: Bundle) -> int:
        """Give the width that a ratio is of."""
        return self.reference.get(bundle.groups[0].name, bundle.width)


def select(
    bundles: Sequence[Bundle], scores: Mapping[Group, torch.Tensor], *, ratio: float, rule: Rule
) -> Removed:
    """Choose the channels that go.

    Args:
        bundles: All that may be cut.
        scores: (width,) for each group; the lowest go.
        ratio: Part of the channels that go, 0 to 1, of the widths before the first cut.
        rule: How they are chosen.

    Raises:
        UsageError: A layer would be left without channels.
    """
    wanted = _alike(bundles, ratio, rule) if rule.scope == "layer" else _ranked(bundles, scores, ratio, rule)
    removed: Removed = {}
    for bundle, channels in zip(bundles, wanted, strict=True):
        if channels < 0.5:
            raise UsageError(
                f"`prune.ratio: {ratio:g}` leaves {bundle.groups[0].name} without channels; it has "
                f"{bundle.width}.",
                hint="Set prune.ratio lower.",
            )
        kept = _rounded(channels, bundle, rule.round_to)
        for group, sides in zip(bundle.groups, bundle.sides, strict=True):
            removed[group] = _lowest(scores[group], bundle.width - kept, sides)
    return removed


def highest_ratio(bundles: Sequence[Bundle], rule: Rule) -> float:
    """Give the highest ratio that leaves every layer a channel."""
    if rule.scope == "global":
        return 1 - FLOOR
    return 1 - 1 / min(rule.width_before(bundle) for bundle in bundles)


def _alike(bundles: Sequence[Bundle], ratio: float, rule: Rule) -> list[float]:
    return [rule.width_before(bundle) * (1 - ratio) for bundle in bundles]


def _ranked(
    bundles: Sequence[Bundle], scores: Mapping[Group, torch.Tensor], ratio: float, rule: Rule
) -> list[float]:
    before = sum(rule.width_before(bundle) * len(bundle.groups) for bundle in bundles)
    left = round(before * (1 - ratio))
    owners = torch.cat(
        [torch.full((len(one.groups) * one.width,), number) for number, one in enumerate(bundles)]
    )
    best = _order([scores[group] for bundle in bundles for group in bundle.groups])[:left]
    counts = torch.bincount(owners[best], minlength=len(bundles)).tolist()
    floor = FLOOR if left else 0.0
    return [
        max(count / len(bundle.groups), floor * rule.width_before(bundle))
        for count, bundle in zip(counts, bundles, strict=True)
    ]


def _order(scores: Sequence[torch.Tensor]) -> torch.Tensor:
    """Order the channels of all groups, the best first; of equals, those that are high in their group."""
    places = torch.cat([_places(one) for one in scores]).argsort(stable=True)
    return places[torch.cat(list(scores))[places].argsort(descending=True, stable=True)]


def _places(scores: torch.Tensor) -> torch.Tensor:
    """Give each channel's place within its group, 0 for the best to 1."""
    places = torch.empty(len(scores))
    places[scores.argsort(descending=True, stable=True)] = torch.arange(len(scores)) / len(scores)
    return places


def _rounded(channels: float, bundle: Bundle, round_to: int) -> int:
    """Give the multiple nearest to `channels`, one at least; the width as it is where that is no less."""
    if channels >= bundle.width:
        return bundle.width
    if any(sides is not None for sides in bundle.sides):
        round_to = math.lcm(round_to, 2)
    multiple = max(1, math.floor(channels / round_to + 0.5)) * round_to
    return min(multiple, bundle.width)


def _lowest(scores: torch.Tensor, count: int, sides: torch.Tensor | None) -> torch.Tensor:
    order = scores.argsort(stable=True)
    if sides is None:
        return order[:count].sort().values
    halves = [order[sides[order] == side][: count // 2] for side in (0, 1)]
    return torch.cat(halves).sort().values
