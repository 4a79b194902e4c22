"""Halves: a convolution whose output the block cuts in two, as two convolutions.

C2f and its kin call `cv1(x).chunk(2, 1)`, which a dependency graph cannot follow. Here the block stays as it
is, and its `cv1` answers with two tensors that are handed out when it asks for the chunks.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import nn

from stages.yolo import blocks

# Those that cut the output of `cv1`, and nothing else, in equal halves along the channels.
HALVED = (
    blocks.C2,
    blocks.C2f,
    blocks.C3k2,
    blocks.C2fCIB,
    blocks.C2fPSA,
    blocks.C2PSA,
    blocks.PSA,
    blocks.RepNCSPELAN4,
    blocks.ELAN1,
)


class Pair:
    """Two halves of a tensor that was never one; answers what the blocks ask of it."""

    def __init__(self, first: torch.Tensor, second: torch.Tensor) -> None:
        self.halves = (first, second)

    def chunk(self, chunks: int, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the halves."""
        assert (chunks, dim) == (2, 1)
        return self.halves

    def split(self, sizes: tuple[int, int], dim: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the halves, as wide as they are by now."""
        assert (len(sizes), dim) == (2, 1)
        return self.halves


class Halves(nn.Module):  # type: ignore[misc]  # torch's types are not followed
    """A `Conv` as two, one for each half of its output."""

    def __init__(self, conv: Any) -> None:
        super().__init__()
        width = conv.conv.out_channels
        self.first = _part(conv, slice(0, width // 2))
        self.second = _part(conv, slice(width // 2, width))

    def forward(self, x: torch.Tensor) -> Pair:
        """Give both halves."""
        return Pair(self.first(x), self.second(x))

    def fold(self) -> Any:
        """Give the one `Conv` that both make; they must be equally wide."""
        assert self.first.conv.out_channels == self.second.conv.out_channels
        whole = _like(self.first)
        whole.conv.weight = _joined(self.first.conv.weight, self.second.conv.weight)
        whole.conv.out_channels = len(whole.conv.weight)
        for name in ("weight", "bias"):
            setattr(whole.bn, name, _joined(getattr(self.first.bn, name), getattr(self.second.bn, name)))
        for name in ("running_mean", "running_var"):
            parts = [getattr(self.first.bn, name), getattr(self.second.bn, name)]
            setattr(whole.bn, name, torch.cat(parts))
        whole.bn.num_features = whole.conv.out_channels
        return whole


def _like(conv: Any) -> Any:
    """Copy a `Conv`, but for its activation: all of a model share one."""
    return deepcopy(conv, {id(conv.act): conv.act})


def _part(conv: Any, rows: slice) -> Any:
    part = _like(conv)
    part.conv.weight = _rows(conv.conv.weight, rows)
    part.conv.out_channels = len(part.conv.weight)
    for name in ("weight", "bias"):
        setattr(part.bn, name, _rows(getattr(conv.bn, name), rows))
    for name in ("running_mean", "running_var"):
        setattr(part.bn, name, getattr(conv.bn, name)[rows].clone())
    part.bn.num_features = part.conv.out_channels
    return part


def _rows(parameter: nn.Parameter, rows: slice) -> nn.Parameter:
    return nn.Parameter(parameter.detach()[rows].clone(), requires_grad=parameter.requires_grad)


def _joined(first: nn.Parameter, second: nn.Parameter) -> nn.Parameter:
    return nn.Parameter(torch.cat([first.detach(), second.detach()]), requires_grad=first.requires_grad)
