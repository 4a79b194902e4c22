"""Ties: which groups must be left equally wide, so that Ultralytics' blocks can hold what is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from stages.prune.graph import Group
from stages.prune.rewrite import Halves, WholeDown


@dataclass(frozen=True, eq=False, kw_only=True)
class Bundle:
    """Groups of one width, of which equally many channels must be left.

    Attributes:
        groups: At least one.
        width: Of each.
        sides: For each group, (width,) of 0 and 1 where equally many of either must be left; else None.
    """

    groups: tuple[Group, ...]
    width: int
    sides: tuple[torch.Tensor | None, ...]


def find_bundles(module: Any, groups: Sequence[Group]) -> tuple[Bundle, ...]:
    """Give all channels of the rewritten `module` that may be cut, bundled as the blocks need it."""
    makers = _makers(groups)
    sides, frozen = _sides(module, groups)
    frozen |= {group for group in groups if group.frozen}
    together = {group: {group} for group in groups}
    for part in module.modules():
        if isinstance(part, Halves):
            _tie([makers.get(half.conv, []) for half in (part.first, part.second)], together, frozen)
    found = {id(tied): tied for tied in together.values()}.values()
    ordered = [tuple(group for group in groups if group in tied) for tied in found]
    return tuple(
        Bundle(groups=tied, width=tied[0].width, sides=tuple(sides.get(group) for group in tied))
        for tied in ordered
        if not frozen.intersection(tied) and len({group.width for group in tied}) == 1
    )


def _makers(groups: Sequence[Group]) -> dict[nn.Module, list[Group]]:
    """Give, for each layer, the groups that its output channels belong to."""
    makers: dict[nn.Module, list[Group]] = {}
    for group in groups:
        for member in group.members:
            if member.side == "out":
                makers.setdefault(member.layer, []).append(group)
    return makers


def _tie(halves: list[list[Group]], together: dict[Group, set[Group]], frozen: set[Group]) -> None:
    """Put the groups of two halves into one set; leave alone what does not make up a half of its own."""
    if any(len(groups) != 1 for groups in halves):
        frozen.update(group for groups in halves for group in groups)
        return
    (first,), (second,) = halves
    tied = together[first] | together[second]
    for group in tied:
        together[group] = tied


def _sides(module: Any, groups: Sequence[Group]) -> tuple[dict[Group, torch.Tensor], set[Group]]:
    """Give the sides of channels that an `ADown` takes, and the groups whose sides do not part cleanly."""
    downs = {part.cv1.conv for part in module.modules() if isinstance(part, WholeDown)}
    sides: dict[Group, torch.Tensor] = {}
    frozen: set[Group] = set()
    for group in groups:
        for member in group.members:
            if member.layer not in downs or member.side == "out":
                continue
            side = torch.zeros(group.width, dtype=torch.long)
            half = member.layer.in_channels // 2
            side[member.roots] = (member.channels >= half).long()
            known = sides.setdefault(group, side)
            whole = len(member.channels) == 2 * half == group.width
            if not whole or int(side.sum()) != half or not torch.equal(known, side):
                frozen.add(group)
    return sides, frozen
