"""Suspects: nodes that FP16 would break, by the constants they read and the values they were seen with."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.quantize.graph import Graph
from stages.quantize.half.constants import FP16_MAX, FP16_NORMAL
from stages.quantize.half.observe import TOUCHY, Seen

# Other pictures have larger values than those that were looked at: room for four times as much.
LIMIT = FP16_MAX / 4
_ADDS = {"Add", "Clip", "Max", "Sub", "Sum"}  # where a small constant keeps a value from 0


def find_suspects(graph: Graph, seen: Seen) -> dict[str, str]:
    """Give nodes that have to stay in FP32, with the reason.

    Args:
        graph: FP32, with named nodes.
        seen: On real pictures.
    """
    reasons: dict[str, str] = {}
    for found in (_constants(graph), _large(graph, seen), _small(graph, seen), _sums(seen)):
        for node, reason in found:
            reasons.setdefault(node, reason)
    return reasons


def _constants(graph: Graph) -> Iterator[tuple[str, str]]:
    """Look for constants beyond FP16, and for those of which FP16 leaves nothing."""
    for node in graph.nodes:
        for name in node.input:
            values = _float_constant(graph, name)
            if values is None:
                continue
            largest = float(np.abs(values[np.isfinite(values)]).max(initial=0))
            if largest > FP16_MAX:
                yield node.name, f"its constant {name} reaches {largest:.3g}, beyond FP16"
            elif values.any() and not values.astype(np.float16).any():
                yield from _vanishing(graph, node, f"{largest:.3g}, which FP16 takes for 0")


def _float_constant(graph: Graph, name: str) -> NDArray[np.float32] | None:
    values = graph.constant(name)
    return values if values is not None and values.dtype == np.float32 else None


def _vanishing(graph: Graph, node: onnx.NodeProto, value: str) -> Iterator[tuple[str, str]]:
    """Give the reader of a constant that vanishes, and what its result must not vanish for."""
    yield node.name, f"its constant is {value}"
    front = [node] if node.op_type in _ADDS else []
    while front:
        after = [one for one in graph.after(front.pop()) if one.op_type in TOUCHY]
        yield from ((one.name, f"it may work on {value}") for one in after)
        front += [one for one in after if one.op_type == "Sqrt"]


def _large(graph: Graph, seen: Seen) -> Iterator[tuple[str, str]]:
    """Keep what makes a large value, and all that reads it."""
    for name, largest in seen.largest.items():
        if largest > LIMIT:
            reason = f"values up to {largest:.3g}, of at most {FP16_MAX:.0f} in FP16"
            yield graph.makers[name].name, reason
            yield from ((reader.name, reason) for reader, _ in graph.readers.get(name, []))


def _small(graph: Graph, seen: Seen) -> Iterator[tuple[str, str]]:
    """Keep what is divided by, or the like, where it is so small that FP16 has few bits left for it."""
    for name, smallest in seen.smallest.items():
        if smallest < FP16_NORMAL:
            reason = f"works on values down to {smallest:.3g}, where FP16 has few bits left"
            yield graph.makers[name].name, reason
            for reader, place in graph.readers[name]:
                if TOUCHY.get(reader.op_type) == place:
                    yield reader.name, reason


def _sums(seen: Seen) -> Iterator[tuple[str, str]]:
    for node, largest in seen.sums.items():
        if largest > LIMIT:
            yield node, f"sums up to {largest:.3g} on the way, of at most {FP16_MAX:.0f} in FP16"
