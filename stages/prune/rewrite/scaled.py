"""Scaled: A2C2f of YOLO12 with a scaled residual, its scale as a convolution."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from stages.yolo import blocks

A2C2f = blocks.A2C2f


class ScaledA2C2f(nn.Module):  # type: ignore[misc]  # torch's types are not followed
    """An `A2C2f` whose `gamma`, a bare parameter, is a depthwise convolution of one pixel."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.block = (block,)  # a tuple, so that it is no submodule
        self.cv1, self.m, self.cv2 = block.cv1, block.m, block.cv2
        width = len(block.gamma)
        self.scale = nn.Conv2d(width, width, 1, groups=width, bias=False)
        self.scale.weight = nn.Parameter(
            block.gamma.detach().reshape(-1, 1, 1, 1).clone(), requires_grad=block.gamma.requires_grad
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Do as `A2C2f` does."""
        y = [self.cv1(x)]
        y.extend(part(y[-1]) for part in self.m)
        scaled: torch.Tensor = x + self.scale(self.cv2(torch.cat(y, 1)))
        return scaled

    def fold(self) -> Any:
        """Give the `A2C2f`."""
        block = self.block[0]
        weight = self.scale.weight
        block.gamma = nn.Parameter(weight.detach().flatten().clone(), requires_grad=weight.requires_grad)
        return block
