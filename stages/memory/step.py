"""Step: one training step of a detector, counted and not computed.

The model runs on fake tensors, in which PyTorch carries shapes and types but no data: any size
takes a second. The loss cannot, as it goes where the boxes are; it runs for real, on random predictions and
drawn boxes.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeCopyMode,
    FakeTensorMode,
    UnsupportedFakeTensorException,
)
from torch.utils._pytree import tree_leaves, tree_map

from stages.gmac import copy_of
from stages.memory.ledger import Event, Kernel, Ledger
from stages.yolo import DEFAULT_CFG
from targets.errors import ModelError

_NEEDS_VALUES = (DataDependentOutputException, DynamicOutputShapeException, UnsupportedFakeTensorException)


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What a training step does, given weights, EMA, optimizer state and gradients.

    Attributes:
        batch: Pictures.
        events: Of the ledger.
        kernels: Of the ledger.
    """

    batch: int
    events: tuple[Event, ...]
    kernels: tuple[Kernel, ...]


def record_step(
    module: Any, *, batch: int, side_px: int, boxes: int, half: bool, workspaces: bool = True
) -> Recorded:
    """Record forward, loss and backward as Ultralytics' trainer does them.

    Args:
        module: A detector; it is left as it is.
        batch: Pictures at once.
        side_px: Of the square input.
        boxes: In each picture.
        half: Mixed precision. BF16 stands for FP16, which takes as much.
        workspaces: Of cuDNN too.

    Raises:
        ModelError: The model does one thing or another by values, which fake tensors do not have.
    """
    real = copy_of(module).train()
    real.args = DEFAULT_CFG
    criterion = real.init_criterion()
    targets = draw_targets(batch, boxes)
    mode = FakeTensorMode()
    fake = _make_fake(real, mode)
    with mode:
        pictures = torch.empty(batch, 3, side_px, side_px, dtype=torch.uint8)
    ledger = Ledger(workspaces=workspaces)
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            with mode, ledger:
                predictions = fake(pictures.float() / 255)
            stand_ins = tree_map(_stand_in, predictions)
            with ledger:
                loss = criterion(stand_ins, targets)[0].sum()
        with ledger:
            loss.backward()
            del loss
            _go_back(predictions, stand_ins, mode)
    except _NEEDS_VALUES as exc:
        raise ModelError(
            f"What this model needs cannot be told without running it: {str(exc).splitlines()[0]}",
            hint="A module decides by a tensor's values. Measure on a GPU: `train.batch: auto` probes there.",
        ) from exc
    return Recorded(batch=batch, events=tuple(ledger.events), kernels=tuple(ledger.kernels))


def _make_fake(real: Any, mode: FakeTensorMode) -> Any:
    with FakeCopyMode(mode):
        fake = deepcopy(real)
    with mode:
        for parameter in fake.parameters():
            parameter.requires_grad_()
            parameter.grad = torch.empty_like(parameter)  # there already, as gradients are accumulated
    return fake


def draw_targets(batch: int, boxes: int) -> dict[str, torch.Tensor]:
    """Give targets as Ultralytics' loss takes them; every picture has the same boxes."""
    generator = torch.Generator().manual_seed(0)
    centres = 0.2 + 0.6 * torch.rand(boxes, 2, generator=generator)
    sides = 0.02 + 0.2 * torch.rand(boxes, 2, generator=generator)
    return {
        "batch_idx": torch.arange(batch).repeat_interleave(boxes).float(),
        "cls": torch.zeros(batch * boxes, 1),
        "bboxes": torch.cat([centres, sides], 1).repeat(batch, 1),
    }


def _stand_in(fake: Any) -> Any:
    """Give a real tensor for a fake one; the ledger does not see it, as it has seen the fake one."""
    if not isinstance(fake, torch.Tensor):
        return fake
    generator = torch.Generator().manual_seed(0)  # the same picture after picture, whatever the batch
    one = torch.randn(fake.shape[1:], generator=generator).to(fake.dtype)
    return one.expand(fake.shape).contiguous().requires_grad_(fake.requires_grad)


def _go_back(predictions: Any, stand_ins: Any, mode: FakeTensorMode) -> None:
    """Send the loss's gradients, which are real, back through the model, which is fake."""
    ends, gradients = [], []
    for fake, real in zip(tree_leaves(predictions), tree_leaves(stand_ins), strict=True):
        if isinstance(fake, torch.Tensor) and real.grad is not None:
            real.grad = None
            with mode:
                gradients.append(torch.empty_like(fake))
            ends.append(fake)
    torch.autograd.backward(ends, gradients)
