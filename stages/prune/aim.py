"""Aim: the smallest cut that brings a detector down to a GMAC."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch

from stages.prune.graph import Group
from stages.prune.select import Removed
from stages.prune.ties import Bundle

STEPS = 24  # halvings of the ratio; far finer than one channel of the widest layer


def aim(
    choose: Callable[[float], Removed], gmac: Callable[[Removed], float], *, target: float, highest: float
) -> tuple[Removed, Removed]:
    """Find, by bisection, the cut of the lowest ratio that reaches `target`, and the last that does not.

    Args:
        choose: From ratio to cut; more goes at a higher one.
        gmac: What a cut leaves.
        target: GMAC; `highest` reaches it.
        highest: Ratio.
    """
    low, least = 0.0, choose(0.0)
    most = choose(highest)
    for _ in range(STEPS):
        middle = (low + highest) / 2
        removed = choose(middle)
        if gmac(removed) > target:
            low, least = middle, removed
        else:
            highest, most = middle, removed
    return most, least


def give_back(
    bundles: Sequence[Bundle],
    cuts: tuple[Removed, Removed],
    *,
    scores: Mapping[Group, torch.Tensor],
    gmac: Callable[[Removed], float],
    target: float,
) -> Removed:
    """Leave some layers as the smaller cut has them, as far as the target has room for it.

    Many layers shrink at the very same ratio: rounded to 8, half of YOLOv8n's GMAC would be 43 % of them.

    Args:
        bundles: Of the detector.
        cuts: What `aim` found.
        scores: Of each group's channels.
        gmac: What a cut leaves.
        target: GMAC.
    """
    most, least = cuts

    def spared(bundle: Bundle) -> Removed:
        return {**most, **{group: least[group] for group in bundle.groups}}

    def worth(bundle: Bundle) -> float:
        """Give what is kept for each GMAC."""
        kept = sum(
            float(_total(scores, group, most) - _total(scores, group, least)) for group in bundle.groups
        )
        cost = gmac(spared(bundle)) - gmac(most)
        return kept / cost if cost > 0 else math.inf

    shrunk = [bundle for bundle in bundles if _shrinks(bundle, most, least)]
    for bundle in sorted(shrunk, key=worth, reverse=True):
        if gmac(spared(bundle)) <= target:
            most = spared(bundle)
    return most


def _shrinks(bundle: Bundle, most: Removed, least: Removed) -> bool:
    return any(len(most[group]) > len(least[group]) for group in bundle.groups)


def _total(scores: Mapping[Group, torch.Tensor], group: Group, removed: Removed) -> torch.Tensor:
    return scores[group][removed[group]].sum()
