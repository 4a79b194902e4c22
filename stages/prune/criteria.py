"""Criteria: how much a channel matters, as the sum over all that goes with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import nn

from stages.prune.graph import Group, Member

Criterion = Literal["magnitude", "bn_scale", "taylor"]
Losses = Callable[[Any], Iterable[torch.Tensor]]
"""Takes a detector and gives its loss on some pictures, one batch after the other."""

Salience = dict[nn.Module, torch.Tensor]
"""By normalisation: (C,), how much the loss changes without a channel."""


def score(group: Group, criterion: Criterion, salience: Salience) -> torch.Tensor:
    """Give (width,): what each channel of `group` is worth, 1 on average.

    torch-pruning's own Taylor criterion sorts the channels of a layer without those of the group that they go
    with (1.6.1), so the sums are ours.
    """
    for values_of in (_values(criterion, salience), _magnitude):  # a group may have no normalisation
        total = torch.zeros(group.width)
        for member in group.members:
            values = values_of(member)
            if values is not None:
                total.index_add_(0, member.roots, values[member.channels])
        if total.any():
            return total / total.mean()
    return torch.ones(group.width)


def measure_salience(module: Any, losses: Losses) -> Salience:
    """Measure what the loss says about each channel of each normalisation.

    First-order Taylor expansion at a gate behind the normalisation: the square of weight × gradient + bias ×
    gradient, summed over batches (Molchanov et al., 2019, https://arxiv.org/abs/1906.10771, equation 8).
    """
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    salience = {norm: torch.zeros(norm.num_features) for norm in norms}
    for loss in losses(module):
        parameters = [parameter for norm in norms for parameter in (norm.weight, norm.bias)]
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        for norm, weights, biases in zip(norms, gradients[::2], gradients[1::2], strict=True):
            if weights is not None and biases is not None:
                gate = norm.weight.detach() * weights + norm.bias.detach() * biases
                salience[norm] += gate.square().cpu()
    return salience


def _values(criterion: Criterion, salience: Salience) -> Callable[[Member], torch.Tensor | None]:
    if criterion == "magnitude":
        return _magnitude
    if criterion == "bn_scale":
        return _bn_scale
    return lambda member: salience.get(member.layer)


def _magnitude(member: Member) -> torch.Tensor | None:
    """Give the sum of squared weights, by channel of the layer."""
    layer = member.layer
    if not isinstance(layer, nn.Conv2d):
        return layer.weight.detach().square().cpu()
    squares = layer.weight.detach().square().cpu()
    return squares.sum((1, 2, 3)) if member.side == "out" else squares.sum((0, 2, 3))


def _bn_scale(member: Member) -> torch.Tensor | None:
    layer = member.layer
    return layer.weight.detach().abs().cpu() if isinstance(layer, nn.BatchNorm2d) else None
