"""Residual: which input of an Add is the shortcut, and which comes out of the branch beside it."""

from __future__ import annotations

import onnx

from stages.quantize.graph import Graph

_DEPTH = 40  # nodes back to look for where the branch left the shortcut; attention has about 20


def find_shortcut(graph: Graph, add: onnx.NodeProto) -> int | None:
    """Give the position of the shortcut among the inputs of an Add; None where there is none.

    The shortcut is the input that the other one was computed from. That holds whatever stands in the branch:
    Conv → SiLU → Conv → SiLU with BatchNorm fused, as exported detectors have it, or attention.
    """
    if len(add.input) != 2 or any(name in graph.weights for name in add.input):
        return None
    first, second = (_comes_from(graph, add.input[1 - place], add.input[place]) for place in (0, 1))
    if first == second:
        return None
    return 0 if first else 1


def _comes_from(graph: Graph, name: str, source: str) -> bool:
    """Say whether `name` was computed from `source`, by a walk back in breadth."""
    seen: set[str] = set()
    front = {name}
    for _ in range(_DEPTH):
        front = {fed for one in front if one in graph.makers for fed in graph.makers[one].input} - seen
        if source in front:
            return True
        seen |= front
    return False
