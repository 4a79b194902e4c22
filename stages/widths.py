"""Widths: in which its channels a detector differs from the one that its description builds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from stages.yolo import blocks, convs

Widths = dict[str, list[int]]
"""By module: input and output channels and groups of a convolution; channels of what works on each alone."""

CUT_IN_HALVES = (
    blocks.C2,
    blocks.C2f,
    blocks.C2PSA,
    blocks.PSA,
    blocks.RepNCSPELAN4,
)  # with the classes derived from them


def changed_widths(fresh: nn.Module, module: nn.Module) -> Widths:
    """Give the widths in which `module` differs from the `fresh` build of its description.

    Pruning changes them, and Ultralytics keeps the wide class branch of pretrained weights when the number
    of classes changes.
    """
    before = {name: _width(part) for name, part in fresh.named_modules()}
    after = {name: _width(part) for name, part in module.named_modules()}
    return {name: width for name, width in after.items() if width and width != before.get(name)}


def set_widths(module: nn.Module, widths: Mapping[str, Sequence[int]]) -> None:
    """Give modules other widths, with weights that mean nothing.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: `widths` are not those of such a module.
    """
    for name, width in widths.items():
        _resize(module, name, width)
    settle(module)


def settle(module: nn.Module) -> None:
    """Let the blocks know how wide their convolutions are: some remember it from when they were built."""
    for part in module.modules():
        if isinstance(part, CUT_IN_HALVES):
            part.c = part.cv1.conv.out_channels // 2
        elif isinstance(part, blocks.ADown | blocks.SPPELAN):
            part.c = part.cv1.conv.out_channels
        elif isinstance(part, convs.RepConv):
            conv = part.conv1.conv
            part.c1, part.c2, part.g = conv.in_channels, conv.out_channels, conv.groups
        elif isinstance(part, blocks.RepVGGDW):
            part.dim = part.conv.conv.out_channels


def _width(part: Any) -> list[int] | None:
    if isinstance(part, nn.Conv2d):
        return [part.in_channels, part.out_channels, part.groups]
    if isinstance(part, nn.BatchNorm2d):
        return [part.num_features]
    if isinstance(part, blocks.A2C2f) and part.gamma is not None:
        return [len(part.gamma)]
    return None


def _resize(module: nn.Module, name: str, width: Sequence[int]) -> None:
    parent = module.get_submodule(name.rpartition(".")[0])
    old: Any = module.get_submodule(name)
    if isinstance(old, blocks.A2C2f):
        old.gamma = nn.Parameter(torch.zeros(width[0]))
        return
    if isinstance(old, nn.Conv2d):
        inputs, outputs, groups = width
        new: nn.Module = nn.Conv2d(
            inputs,
            outputs,
            old.kernel_size,
            old.stride,
            old.padding,
            old.dilation,
            groups,
            old.bias is not None,
        )
    elif isinstance(old, nn.BatchNorm2d):
        new = nn.BatchNorm2d(width[0], eps=old.eps, momentum=old.momentum)
    else:
        raise TypeError(f"{name} is a {type(old).__name__}, which has no width")
    setattr(parent, name.rpartition(".")[2], new)
