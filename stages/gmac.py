"""GMAC: what one picture costs a detector, in multiplications with their additions."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from stages.yolo import blocks, convs

Shape = tuple[int, int, int]
"""Of a convolution: input channels, output channels, groups."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a detector costs once it is fused, as on a device.

    Attributes:
        gmac: Multiply-accumulates of one picture, in 10⁹: of convolutions, linear layers, and the two
            products of Ultralytics' attention.
        parameters: How many it has.
    """

    gmac: float
    parameters: int


def count_cost(module: Any, *, side_px: int) -> Cost:
    """Count what `module` will cost, without the heads and branches that only training needs."""
    fused = copy_of(module).fuse(verbose=False)
    return Cost(
        gmac=sum(count_macs(fused, side_px=side_px).values()) / 1e9,
        parameters=sum(parameter.numel() for parameter in fused.parameters()),
    )


def count_macs(module: Any, *, side_px: int) -> dict[str, int]:
    """Run one picture through `module` and give its multiply-accumulates, by the layer that has them."""
    macs: dict[str, int] = {}

    def note(name: str) -> Any:
        def hook(part: nn.Module, args: object, output: torch.Tensor) -> None:
            del args
            macs[name] = macs.get(name, 0) + _macs_for(part, output)  # a layer may be used again

        return hook

    counted = (nn.Conv2d, nn.Linear, blocks.Attention, blocks.AAttn)
    handles = [
        part.register_forward_hook(note(name))
        for name, part in module.named_modules()
        if isinstance(part, counted)
    ]
    try:
        with torch.no_grad():  # the head keeps its anchors, and may have to learn with them
            module(torch.zeros(1, 3, side_px, side_px))
    finally:
        for handle in handles:
            handle.remove()
    return macs


def copy_of(module: Any) -> Any:
    """Give a copy of a detector in FP32 and eval mode, on the CPU."""
    criterion, module.criterion = getattr(module, "criterion", None), None  # it holds parts of the module
    try:
        return deepcopy(module).cpu().float().eval()
    finally:
        module.criterion = criterion


def shape_of(conv: nn.Conv2d) -> Shape:
    """Give the widths of a convolution."""
    return conv.in_channels, conv.out_channels, conv.groups


def fused_away(module: Any) -> tuple[nn.Module, ...]:
    """Give the modules that fusing removes or merges into their neighbours of the same cost."""
    head = module.model[-1]
    gone: list[nn.Module] = []
    for part in module.modules():
        if isinstance(part, convs.RepConv):
            gone.append(part.conv2)
        elif isinstance(part, blocks.RepVGGDW):
            gone.append(part.conv1)
    names = ("cv2", "cv3") if head.end2end else ("one2one_cv2", "one2one_cv3")
    if getattr(head, "one2one_cv2", None) is not None:
        gone.extend(getattr(head, name) for name in names)
    return tuple(gone)


def _macs_for(part: Any, output: torch.Tensor) -> int:
    if isinstance(part, nn.Linear):
        return int(output.numel() * part.in_features)
    if isinstance(part, nn.Conv2d):
        kernel = part.kernel_size[0] * part.kernel_size[1]
        return int(output.numel() * kernel * part.in_channels // part.groups)
    pixels = output.shape[2] * output.shape[3]
    if isinstance(part, blocks.AAttn):  # within each area only
        return int(2 * pixels * (pixels // part.area) * part.head_dim * part.num_heads)
    return int(pixels * pixels * (part.key_dim + part.head_dim) * part.num_heads)
