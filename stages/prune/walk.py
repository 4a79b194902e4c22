"""Walk: a detector's layers from picture to raw predictions, without decoding."""

from __future__ import annotations

from typing import Any

import torch

from stages.prune.standin import StandIn

BRANCHES = ("cv2", "cv3", "one2one_cv2", "one2one_cv3")


def walk(module: Any, images: torch.Tensor) -> list[torch.Tensor]:
    """Give what each branch of the head says at each level.

    Args:
        module: A `DetectionModel`.
        images: (B, 3, H, W).
    """
    answers: list[Any] = []
    x: Any = images
    head = module.model[-1]
    for layer in module.model[:-1]:
        x = layer(_inputs(layer, x, answers))
        answers.append(x)
    levels = _inputs(head, x, answers)
    if isinstance(head, StandIn):
        answer = head(levels)
        return list(answer) if isinstance(answer, tuple) else [answer]
    return [
        branch(level)
        for name in BRANCHES
        if getattr(head, name, None) is not None
        for branch, level in zip(getattr(head, name), levels, strict=True)
    ]


def last_convolutions(head: Any) -> list[Any]:
    """Give the convolutions whose outputs are the predictions."""
    return [
        branch[-1]
        for name in BRANCHES
        if getattr(head, name, None) is not None
        for branch in getattr(head, name)
    ]


def _inputs(layer: Any, x: Any, answers: list[Any]) -> Any:
    if isinstance(layer.f, int):
        return x if layer.f == -1 else answers[layer.f]
    return [x if place == -1 else answers[place] for place in layer.f]
