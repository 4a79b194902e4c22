"""Down: ADown of YOLOv9, which cuts its input in two, with each convolution over the whole input."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from stages.yolo import blocks

ADown = blocks.ADown


class WholeDown(nn.Module):  # type: ignore[misc]  # torch's types are not followed
    """An `ADown` whose convolutions see both halves, one of them through weights of zero.

    Max-pooling both halves changes nothing: it works channel by channel.
    """

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.block = (block,)  # a tuple, so that it is no submodule
        self.cv1 = _widened(block.cv1, before=0)
        self.cv2 = _widened(block.cv2, before=block.cv2.conv.in_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Do as `ADown` does."""
        x = functional.avg_pool2d(x, 2, 1, 0, False, True)  # noqa: FBT003  (their call, to the letter)
        return torch.cat((self.cv1(x), self.cv2(functional.max_pool2d(x, 3, 2, 1))), 1)

    def fold(self) -> Any:
        """Give the `ADown`; of both halves of the input, equally many channels must be left."""
        half = self.cv1.conv.in_channels // 2
        block = self.block[0]
        block.cv1 = _narrowed(self.cv1, slice(0, half))
        block.cv2 = _narrowed(self.cv2, slice(half, 2 * half))
        return block


def _widened(conv: Any, *, before: int) -> Any:
    """Double the input channels, with `before` zeros in front of the weights, in place."""
    narrow = conv.conv.weight
    wide = narrow.new_zeros(len(narrow), 2 * narrow.shape[1], *narrow.shape[2:])
    wide[:, before : before + narrow.shape[1]] = narrow.detach()
    return _with_weight(conv, wide)


def _narrowed(conv: Any, columns: slice) -> Any:
    kept = conv.conv.weight.detach()[:, columns]
    assert kept.count_nonzero() == conv.conv.weight.count_nonzero()
    return _with_weight(conv, kept.clone())


def _with_weight(conv: Any, weight: torch.Tensor) -> Any:
    conv.conv.weight = nn.Parameter(weight, requires_grad=conv.conv.weight.requires_grad)
    conv.conv.in_channels = weight.shape[1]
    return conv
