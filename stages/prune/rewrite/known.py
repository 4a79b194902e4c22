"""Known: which modules a dependency graph can follow, which are left alone, and which nobody knows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from stages.prune.rewrite.down import ADown
from stages.prune.rewrite.halves import HALVED
from stages.prune.rewrite.scaled import A2C2f
from stages.yolo import Detect, DetectionModel, blocks, convs, v10Detect

TORCH = (
    nn.Sequential, nn.ModuleList, nn.Identity,
    nn.Conv2d, nn.BatchNorm2d,
    nn.SiLU, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.Hardswish, nn.Sigmoid, nn.GELU, nn.Mish,
    nn.MaxPool2d, nn.AvgPool2d, nn.Upsample, nn.ZeroPad2d,
)  # fmt: skip
# A dependency graph follows these as they are.
FOLLOWED = (
    convs.Conv, convs.DWConv, convs.LightConv, convs.GhostConv, convs.RepConv, convs.Concat,
    blocks.C1, blocks.C3, blocks.C3x, blocks.C3k, blocks.C3f, blocks.C3Ghost, blocks.RepC3, blocks.RepCSP,
    blocks.BottleneckCSP, blocks.Bottleneck, blocks.RepBottleneck, blocks.GhostBottleneck,
    blocks.SPP, blocks.SPPF, blocks.SPPELAN, blocks.AConv, blocks.SCDown, blocks.CIB, blocks.RepVGGDW,
    blocks.HGStem, blocks.HGBlock, blocks.ResNetBlock, blocks.ResNetLayer, blocks.PSABlock, blocks.ABlock,
    blocks.DFL, Detect, v10Detect, DetectionModel,
)  # fmt: skip
# Attention mixes channels by head, in ways that widths alone do not tell; it keeps its widths.
KEPT = (blocks.Attention, blocks.AAttn)
KNOWN = frozenset((*TORCH, *FOLLOWED, *HALVED, *KEPT, ADown, A2C2f))


def find_kept(module: Any) -> list[str]:
    """Give the names of the attention modules."""
    return [name for name, part in module.named_modules() if type(part) in KEPT]


def find_unknown(module: Any) -> list[str]:
    """Give the names of the outermost modules that nobody knows; a subclass may do anything."""
    return list(_unknown(module.model, "model"))


def _unknown(module: nn.Module, name: str) -> Iterator[str]:
    if type(module) not in KNOWN:
        yield name
    elif type(module) not in KEPT:
        for child_name, child in module.named_children():
            yield from _unknown(child, f"{name}.{child_name}")
