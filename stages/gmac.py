"""GMAC: what one picture costs a detector, in multiplications with their additions."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from stages.yolo import blocks, convs

Shape = tuple[int, int, int]
"""Of a convolution: input channels, output channels, groups."""


def count_gmac(module: Any, *, side_px: int) -> float:
    """Count the multiply-accumulates of one picture, in 10⁹: convolutions, linear layers and attention.

    Counted is the fused model, which is what runs on a device.
    """
    module = deployed(module)
    with FlopCounterMode(display=False) as counter:
        _run(module, side_px)
    return float(counter.get_total_flops()) / 2e9


def count_places(module: Any, *, side_px: int) -> dict[str, int]:
    """Give, for each convolution that one picture passes, how many pixels its output has."""
    places: dict[str, int] = {}

    def note(name: str) -> Any:
        def hook(part: nn.Module, args: object, output: torch.Tensor) -> None:
            del part, args
            places[name] = output.shape[2] * output.shape[3]

        return hook

    module = _copy(module)
    for name, part in module.named_modules():
        if isinstance(part, nn.Conv2d):
            part.register_forward_hook(note(name))
    _run(module, side_px)
    return places


def count_parameters(module: Any) -> int:
    """Count the parameters of the fused model."""
    return sum(parameter.numel() for parameter in deployed(module).parameters())


def deployed(module: Any) -> Any:
    """Give a fused copy on the CPU, without the heads and branches that only training needs."""
    return _copy(module).fuse(verbose=False)


def shape_of(conv: nn.Conv2d) -> Shape:
    """Give the widths of a convolution."""
    return conv.in_channels, conv.out_channels, conv.groups


def macs_of(conv: nn.Conv2d, shape: Shape, *, places: int) -> int:
    """Give the multiply-accumulates of a convolution as wide as `shape`, at `places` pixels of output."""
    inputs, outputs, groups = shape
    return int(places * conv.kernel_size[0] * conv.kernel_size[1] * outputs * inputs // groups)


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


def _copy(module: Any) -> Any:
    criterion, module.criterion = getattr(module, "criterion", None), None  # it holds parts of the module
    try:
        return deepcopy(module).cpu().float().eval()
    finally:
        module.criterion = criterion


def _run(module: Any, side_px: int) -> None:
    """Run a copy, which is spoilt by it, on an empty picture."""
    device = "meta" if _is_stock(module) else "cpu"  # tensors without values: 0.1 s instead of 1 s and more
    stride = module.model[-1].stride
    module = module.to(device)
    module.model[-1].stride = stride  # the head looks at its values
    with torch.inference_mode():
        module(torch.zeros(1, 3, side_px, side_px, device=device))


def _is_stock(module: nn.Module) -> bool:
    libraries = {type(part).__module__.partition(".")[0] for part in module.modules()}
    return libraries <= {"torch", "ultralytics", "stages"}
