"""Rewrite: blocks that no dependency graph can follow, in a form that answers the same; and the way back."""

from __future__ import annotations

from typing import Any

from torch import nn

from stages.prune.rewrite.down import ADown, WholeDown
from stages.prune.rewrite.halves import HALVED, Halves
from stages.prune.rewrite.known import find_kept, find_unknown
from stages.prune.rewrite.scaled import A2C2f, ScaledA2C2f

__all__ = ["Halves", "ScaledA2C2f", "WholeDown", "find_kept", "find_unknown", "fold", "replace", "rewrite"]

LAYER = ("i", "f", "type", "np")  # what Ultralytics writes on a layer: its number, its inputs, for people


def rewrite(module: Any) -> None:
    """Give every block of `module` a form without chunks, in place; parameters and statistics come along."""
    for name, part in list(module.named_modules()):
        if type(part) in HALVED:
            part.cv1 = Halves(part.cv1)
        elif type(part) is ADown:
            replace(module, name, WholeDown(part))
        elif type(part) is A2C2f and part.gamma is not None:
            replace(module, name, ScaledA2C2f(part))


def fold(module: Any) -> None:
    """Make every block of `module` one of Ultralytics' again, in place."""
    for name, part in list(module.named_modules()):
        if isinstance(part, Halves | WholeDown | ScaledA2C2f):
            replace(module, name, part.fold())


def replace(module: Any, name: str, part: nn.Module) -> None:
    """Put `part` into the place `name` of `module`."""
    old = vars(module.get_submodule(name))
    vars(part).update({key: old[key] for key in LAYER if key in old})
    parent, _, child = name.rpartition(".")
    setattr(module.get_submodule(parent), child, part)
