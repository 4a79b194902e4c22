"""Tensors: which of a graph are looked at in calibration, and which follow from those.

To fetch a tensor costs time and memory, and can break up what the runtime would fuse. So nothing is fetched
that no quantizer puts on a grid of its own (the inside of an activation function), and nothing of which the
values are known from others: a Concat holds what its inputs hold.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx

from stages.quantize.calibration.statistics import Statistics, merge
from stages.quantize.graph import Graph, attribute

_WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
# Every engine computes these in one with a convolution before them, so that there is no tensor between.
_FUSED = {"Relu", "LeakyRelu", "PRelu", "Clip", "HardSigmoid", "HardSwish", "Elu"}
# The same values in another order or shape.
_SAME_VALUES = {"Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
# What they say does not depend on values, only on shapes.
_OF_SHAPES = {"Shape", "Size"}


def find_tensors(graph: Graph) -> tuple[str, ...]:
    """Give the FP32 tensors that a quantizer can want to put on a grid, in the order they are computed.

    That is all that are computed from the input, but for the output of a convolution that is only read by
    its activation function, and the inside of SiLU.
    """
    computed = _computed(graph)
    inside = set(_inside_activations(graph))
    return tuple(name for name in computed if name in graph.floats and name not in inside)


def _computed(graph: Graph) -> list[str]:
    """Give what depends on the values of an input, the inputs first; empty optional outputs are none."""
    found = {one.name: None for one in graph.model.graph.input if one.name not in graph.weights}
    for node in graph.nodes:
        holds_graphs = any(one.HasField("g") for one in node.attribute)  # they may read anything
        if node.op_type not in _OF_SHAPES and (holds_graphs or any(name in found for name in node.input)):
            found.update(dict.fromkeys(name for name in node.output if name))
    return list(found)


def _inside_activations(graph: Graph) -> Iterator[str]:
    for node in graph.nodes:
        before = graph.makers.get(node.input[0]) if node.input else None
        weighted = before is not None and before.op_type in _WEIGHTED
        if node.op_type in _FUSED and weighted and _is_only_for(graph, node.input[0], [node]):
            yield node.input[0]
        if node.op_type == "Sigmoid" and (product := _silu(graph, node)) is not None:
            yield node.output[0]
            if weighted and _is_only_for(graph, node.input[0], [node, product]):
                yield node.input[0]


def _silu(graph: Graph, sigmoid: onnx.NodeProto) -> onnx.NodeProto | None:
    """Give the Mul that makes SiLU of a Sigmoid, x * sigmoid(x), if nothing else reads the Sigmoid."""
    for product, _ in graph.readers.get(sigmoid.output[0], []):
        is_silu = product.op_type == "Mul" and sigmoid.input[0] in product.input
        if is_silu and _is_only_for(graph, sigmoid.output[0], [product]):
            return product
    return None


def _is_only_for(graph: Graph, name: str, nodes: Sequence[onnx.NodeProto]) -> bool:
    readers = {reader.name for reader, _ in graph.readers.get(name, [])}
    return readers == {node.name for node in nodes} and name not in graph.outputs


# --------------------------------------------------------------------------------------------- derivation
@dataclass(frozen=True)
class Derived:
    """A tensor that holds the values of others.

    Attributes:
        parts: Names of the others.
        times: How often it holds each value of theirs.
        stacked: Its channels are those of its parts, one part after the other.
    """

    parts: tuple[str, ...]
    times: int = 1
    stacked: bool = False


def derive(graph: Graph, wanted: Sequence[str]) -> dict[str, Derived]:
    """Find the tensors that need not be looked at themselves, as all of their parts are wanted too."""
    among = set(wanted)
    found: dict[str, Derived] = {}
    for name in wanted:
        derived = _from_maker(graph, name) or _from_split(graph, name)
        if derived is None or not among.issuperset(derived.parts):
            continue
        without_means = any(part in found and not found[part].stacked for part in derived.parts)
        if _feeds_weighted(graph, name) and (without_means or not derived.stacked):
            continue  # its means are wanted as well, for the correction of biases
        found[name] = replace(derived, stacked=derived.stacked and not without_means)
    return found


def _feeds_weighted(graph: Graph, name: str) -> bool:
    return any(node.op_type in _WEIGHTED for node, _ in graph.readers.get(name, []))


def _from_maker(graph: Graph, name: str) -> Derived | None:
    node = graph.makers.get(name)
    if node is None:
        return None
    if node.op_type in _SAME_VALUES:
        return Derived((node.input[0],))
    if node.op_type == "Concat":
        return Derived(tuple(node.input), stacked=_axis(graph, node) == 1)
    if node.op_type == "Resize" and (times := _repeats(graph, node)):
        return Derived((node.input[0],), times=times, stacked=True)
    return None


def _from_split(graph: Graph, name: str) -> Derived | None:
    for node, _ in graph.readers.get(name, []):
        if node.op_type == "Split":
            return Derived(tuple(node.output), stacked=_axis(graph, node) == 1)
    return None


def _axis(graph: Graph, node: onnx.NodeProto) -> int:
    axis = int(attribute(node, "axis", 0))
    return axis if axis >= 0 else axis + len(graph.shapes.get(node.input[0], ()))


def _repeats(graph: Graph, node: onnx.NodeProto) -> int:
    """Say how many times a Resize repeats each value; 0 if it does anything else."""
    nearest = attribute(node, "mode", b"nearest") == b"nearest"
    mode = attribute(node, "coordinate_transformation_mode", b"half_pixel")
    before, after = (graph.shapes.get(name, ()) for name in (node.input[0], node.output[0]))
    whole = (
        before and len(before) == len(after) and all(b % a == 0 for a, b in zip(before, after, strict=True))
    )
    plain = nearest and mode in {b"half_pixel", b"asymmetric", b"pytorch_half_pixel"}
    return math.prod(after) // math.prod(before) if plain and whole else 0


def complete(
    wanted: Sequence[str], derived: Mapping[str, Derived], seen: Mapping[str, Statistics]
) -> dict[str, Statistics]:
    """Give the statistics of all wanted tensors that had any value, from those of the ones looked at."""
    found = dict(seen)

    def find(name: str) -> Statistics | None:
        if name not in found and name in derived:
            parts = [part for part in map(find, derived[name].parts) if part is not None]
            if parts:
                found[name] = _combine(derived[name], parts)
        return found.get(name)

    for name in wanted:
        find(name)
    return {name: found[name] for name in wanted if name in found}


def _combine(derived: Derived, parts: Sequence[Statistics]) -> Statistics:
    whole = merge(parts).repeated(derived.times)
    known = derived.stacked and all(len(part.means) for part in parts)
    return replace(whole, means=np.concatenate([part.means for part in parts])) if known else whole
