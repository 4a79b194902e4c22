"""Placement: who reads INT8, which tensors share a scale, and what stays in float and why.

The rules are NVIDIA's for explicit quantization (TensorRT's developer guide; the toolkits' notes on residual
networks), which suit CPUs as well:

- weighted operators read INT8: activations per tensor, weights per output channel, bias in float;
- what only moves values (Concat, MaxPool, Split, ...) works on INT8 where all that read it do; its tensors
  share one scale, so that nothing is requantized on the way; AveragePool likewise, with a scale of its own
  for what it gives;
- a residual Add reads INT8 on the shortcut alone: the other input comes fresh out of a convolution, which
  fuses the Add;
- nothing is put between a convolution and its activation, which every engine fuses;
- the last convolutions of each head branch, DFL and box decoding stay in float, because boxes (0 to hundreds
  of pixels) and scores (0 to 1) cannot share 256 levels;
- so does what works on candidates chosen by score, as RT-DETR's decoder: it computes with their coordinates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import onnx

from stages.evaluation.qdq import is_quantized
from stages.quantize.graph import Edge, Graph, attribute
from stages.quantize.placement.head import Head, channel_axis, find_head, is_weighted
from stages.quantize.placement.residual import find_shortcut
from targets.errors import ModelError, UsageError

HEAD = "head"
_MOVES = {
    "Concat", "DepthToSpace", "Flatten", "Identity", "MaxPool", "Reshape", "Slice", "SpaceToDepth", "Split",
    "Squeeze", "Transpose", "Unsqueeze",
}  # fmt: skip
_FEW_CHANNELS = 16  # Tensor Cores work on 16 INT8 channels at a time; ModelOpt draws the line there too
_GROUP_CHANNELS = 8  # of a depthwise convolution that TensorRT has an INT8 kernel for


@dataclass(frozen=True)
class Weight:
    """A weight to quantize per output channel along `axis`."""

    name: str
    axis: int


@dataclass(frozen=True)
class LeftOut:
    """A weighted node that stays in float."""

    node: str
    reason: str


@dataclass(frozen=True)
class Placement:
    """What becomes INT8.

    Attributes:
        nodes: Names of the weighted nodes that compute in INT8; with the head, its decoding too.
        edges: Inputs that read the INT8 form of an activation, those of `nodes` and of what moves values.
        groups: Tensors that get a Q/DQ pair; those of a group share one scale.
        weights: Initializers that are stored as INT8.
        left_out: Weighted nodes that stay in float.
    """

    nodes: tuple[str, ...]
    edges: tuple[Edge, ...]
    groups: tuple[tuple[str, ...], ...]
    weights: tuple[Weight, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def activations(self) -> tuple[str, ...]:
        """All tensors that get a Q/DQ pair."""
        return tuple(name for group in self.groups for name in group)


def place(model: onnx.ModelProto, *, exclude: Sequence[str], tensor_cores: bool = False) -> Placement:
    """Decide what becomes INT8.

    Args:
        model: FP32, with named nodes.
        exclude: `head` and patterns of node names.
        tensor_cores: The target computes INT8 on Tensor Cores, which are slow on few channels.

    Raises:
        ModelError: It is quantized already, not FP32, or nothing in it can be quantized.
        UsageError: A pattern fits no node.
    """
    graph = Graph(model)
    weighted = [node for node in graph.nodes if is_weighted(node, graph.weights)]
    _refuse_others(graph, weighted)
    head = find_head(graph)
    reasons = _excluded(graph.nodes, exclude, head)
    if tensor_cores:
        slow = {node.name: reason for node in weighted if (reason := _slow_on_tensor_cores(node, graph))}
        reasons = slow | reasons
    chosen = [node for node in weighted if node.name not in reasons and node.input[0] not in graph.weights]
    if not chosen:
        raise ModelError(
            "Nothing in the model can be quantized: it has no weighted operator that is not excluded.",
            hint="Look at quantize.exclude.",
        )
    edges, moving = _edges(graph, {node.name for node in chosen}, reasons.keys())
    whole = HEAD not in exclude
    decoding = [node for node in graph.nodes if whole and node.name in head.decoding - reasons.keys()]
    edges |= {
        Edge(node.name, position)
        for node in decoding
        for position, name in enumerate(node.input)
        if name in graph.floats and name not in graph.weights
    }
    return Placement(
        nodes=tuple(node.name for node in graph.nodes if node in chosen or node in decoding),
        edges=tuple(edge for edge in _all_edges(graph) if edge in edges),
        groups=tuple(_groups(graph, edges, moving, ends=whole)),
        weights=_weights(node for node in chosen),
        left_out=tuple(LeftOut(node.name, reasons[node.name]) for node in weighted if node.name in reasons),
    )


def _refuse_others(graph: Graph, weighted: Iterable[onnx.NodeProto]) -> None:
    """See that the model is an FP32 one."""
    if is_quantized(graph.model):
        raise ModelError("The model is quantized already.", hint="Quantize the FP32 export.")
    for node in weighted:
        kind = graph.weights[node.input[1]].data_type
        if kind != onnx.TensorProto.FLOAT:
            raise ModelError(
                f"The weights of {node.op_type} '{node.name}' are {onnx.TensorProto.DataType.Name(kind)}.",
                hint="Quantize the FP32 export.",
            )


def _all_edges(graph: Graph) -> Iterator[Edge]:
    for node in graph.nodes:
        yield from (Edge(node.name, position) for position in range(len(node.input)))


def _weights(nodes: Iterable[onnx.NodeProto]) -> tuple[Weight, ...]:
    """Give each weight once: where nodes share one, the first says along which axis it is quantized."""
    weights: dict[str, Weight] = {}
    for node in nodes:
        weights.setdefault(node.input[1], Weight(node.input[1], channel_axis(node)))
    return tuple(weights.values())


# -------------------------------------------------------------------------------------------------- edges
def _edges(graph: Graph, chosen: set[str], kept: Iterable[str]) -> tuple[set[Edge], list[onnx.NodeProto]]:
    """Find who reads INT8, from the outputs towards the input, and the nodes that move it.

    A node that moves values does so in INT8 only where everyone who reads what it makes wants INT8:
    there is no way back from rounded values.
    """
    edges = {Edge(name, 0) for name in chosen} | set(_shortcuts(graph, chosen, set(kept)))
    moving: list[onnx.NodeProto] = []
    barred = {*kept}
    for node in reversed(graph.nodes):
        if node.name in barred or not _all_read_int8(graph, node, edges):
            continue
        moved = {Edge(node.name, position) for position in _moved(node)}
        if moves(graph, node) and not any(node.input[edge.position] in graph.weights for edge in moved):
            moving.append(node)
            edges |= moved
        elif node.op_type == "AveragePool":  # else its input would have to be there in float as well
            edges.add(Edge(node.name, 0))
    return edges, moving


def _shortcuts(graph: Graph, chosen: set[str], kept: set[str]) -> Iterator[Edge]:
    """Give the shortcut of each residual Add, where what it adds is rounded for a convolution as well."""
    for node in graph.nodes:
        if node.op_type == "Add" and node.name not in kept:
            position = find_shortcut(graph, node)
            if position is not None and any(
                reader.name in chosen for reader, _ in graph.readers[node.input[position]]
            ):
                yield Edge(node.name, position)


def moves(graph: Graph, node: onnx.NodeProto) -> bool:
    """Say whether a node gives values as they came, and zeros, so that what was on a grid still is."""
    if node.op_type == "Resize":
        return bool(attribute(node, "mode", b"nearest") == b"nearest")
    if node.op_type == "Pad":
        return attribute(node, "mode", b"constant") != b"constant" or _pads_zeros(graph, node)
    return node.op_type in _MOVES


def _pads_zeros(graph: Graph, pad: onnx.NodeProto) -> bool:
    if len(pad.input) < 3 or not pad.input[2]:
        return True
    value = graph.constant(pad.input[2])
    return value is not None and not value.any()


def _moved(node: onnx.NodeProto) -> range:
    """Give the inputs that hold the values which are moved."""
    return range(len(node.input) if node.op_type == "Concat" else 1)


def _all_read_int8(graph: Graph, node: onnx.NodeProto, edges: set[Edge]) -> bool:
    readers = [
        Edge(reader.name, place) for name in node.output for reader, place in graph.readers.get(name, [])
    ]
    leaves = any(name in graph.outputs for name in node.output)
    return bool(readers) and not leaves and edges.issuperset(readers)


def _groups(
    graph: Graph, edges: set[Edge], moving: Sequence[onnx.NodeProto], *, ends: bool
) -> Iterator[tuple[str, ...]]:
    """Give the tensors that INT8 is read of, those together that one node moves.

    Args:
        graph: Of the model.
        edges: Who reads INT8.
        moving: What moves INT8.
        ends: The graph's outputs become INT8 too.
    """
    ordered = [edge for edge in _all_edges(graph) if edge in edges]
    pairs = {graph.named[edge.node].input[edge.position]: None for edge in ordered}
    pairs |= dict.fromkeys(name for name in graph.outputs if ends and name in graph.floats)
    chief = {name: name for name in pairs}

    def find(name: str) -> str:
        while chief[name] != name:
            name = chief[name]
        return name

    for node in moving:
        together = [node.input[position] for position in _moved(node)] + list(node.output)
        first, *others = [find(name) for name in together if name in pairs]
        for other in others:
            chief[find(other)] = find(first)
    groups: dict[str, list[str]] = {}
    for name in pairs:
        groups.setdefault(find(name), []).append(name)
    yield from map(tuple, groups.values())


# ------------------------------------------------------------------------------------------ what stays out
def _slow_on_tensor_cores(node: onnx.NodeProto, graph: Graph) -> str:
    """Say why TensorRT would be no faster with INT8 here; nothing where it is.

    The limits are those of ModelOpt's quantizer (`find_nodes_from_convs_to_exclude`).
    """
    if node.op_type != "Conv":
        return ""
    outs, ins, *kernel = graph.weights[node.input[1]].dims
    groups = attribute(node, "group", 1)
    if groups == 1:
        first = node.input[0] in graph.sources
        aligned = outs % 8 == 0 or ins % 8 == 0
        if min(outs, ins) >= _FEW_CHANNELS or (aligned and (first or max(outs, ins) >= _FEW_CHANNELS)):
            return ""
        return f"few channels ({ins} to {outs}): INT8 is no faster on Tensor Cores"
    if ins == 1 and outs % _GROUP_CHANNELS == 0 and min(kernel, default=0) >= 3:
        return ""
    if ins >= _FEW_CHANNELS and outs // groups >= _FEW_CHANNELS:
        return ""
    return f"{groups} small groups: INT8 is no faster on Tensor Cores"


def _excluded(nodes: Iterable[onnx.NodeProto], patterns: Sequence[str], head: Head) -> dict[str, str]:
    """Give the reason for each excluded node, by name."""
    names = [node.name for node in nodes]
    excluded: dict[str, str] = {}
    for pattern in patterns:
        if pattern == HEAD:
            excluded |= dict.fromkeys(head.outputs, "output convolution of the head")
            excluded |= dict.fromkeys(head.decoding, "decoding of the head")
            excluded |= dict.fromkeys(head.queries, "works on candidates chosen by score")
        elif pattern in names:  # a name may hold what looks like a pattern
            excluded[pattern] = f"excluded by '{pattern}'"
        elif fitting := [name for name in names if fnmatchcase(name, pattern)]:
            excluded |= dict.fromkeys(fitting, f"excluded by '{pattern}'")
        else:
            raise UsageError(
                f"quantize.exclude: no node of the model fits '{pattern}'.",
                hint=f"Node names look like {names[0]}; patterns may hold * and ?.",
            )
    return excluded
