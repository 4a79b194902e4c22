"""Placement: which tensors of a graph become INT8, and which stay in float and why.

The rules are NVIDIA's for explicit quantization: Q/DQ on the inputs of weighted operators, activations per
tensor, weights per output channel, bias in float; the last convolutions of each head branch, DFL and box
decoding in float, because boxes (0 to hundreds of pixels) and scores (0 to 1) cannot share 256 levels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import count

import onnx

from targets.errors import ModelError, UsageError

HEAD = "head"
# Axis of the output channels in the weight (ONNX operator definitions).
_CHANNEL_AXIS = {"Conv": 0, "ConvTranspose": 1, "MatMul": 1, "Gemm": 1}
# Operators that hand values on as they are, so that one can look through them for what feeds a node.
_TRANSPARENT = {"Transpose", "Reshape", "Identity", "Squeeze", "Unsqueeze"}


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
        nodes: Names of the nodes that compute in INT8.
        activations: Tensors that get a Q/DQ pair.
        weights: Initializers that are stored as INT8.
        left_out: Weighted nodes that stay in float.
    """

    nodes: tuple[str, ...]
    activations: tuple[str, ...]
    weights: tuple[Weight, ...]
    left_out: tuple[LeftOut, ...]


def place(model: onnx.ModelProto, *, exclude: Sequence[str]) -> Placement:
    """Decide what becomes INT8.

    Args:
        model: FP32, with named nodes.
        exclude: `head` and patterns of node names.

    Raises:
        ModelError: It holds Q/DQ already, or nothing in it can be quantized.
        UsageError: A pattern fits no node.
    """
    graph = model.graph
    if any(node.op_type in {"QuantizeLinear", "DequantizeLinear"} for node in graph.node):
        raise ModelError("The model is quantized already.", hint="Quantize the FP32 export.")
    ranks = {one.name: len(one.dims) for one in graph.initializer}
    head = find_head(model)
    excluded = _excluded(graph.node, exclude, head)
    weighted = [node for node in graph.node if is_weighted(node, ranks)]
    chosen = [node for node in weighted if node.name not in excluded]
    if not chosen:
        raise ModelError(
            "Nothing in the model can be quantized: it has no weighted operator that is not excluded.",
            hint="Look at quantize.exclude.",
        )
    activations = [node.input[0] for node in chosen]
    if HEAD not in exclude:
        decoding = [node for node in graph.node if node.name in head.decoding and node.name not in excluded]
        activations += _float_tensors(model, decoding)
        chosen += [node for node in decoding if node not in chosen]
    return Placement(
        nodes=tuple(node.name for node in chosen),
        activations=tuple(dict.fromkeys(name for name in activations if name not in ranks)),
        weights=_weights(node for node in chosen if is_weighted(node, ranks)),
        left_out=tuple(LeftOut(node.name, excluded[node.name]) for node in weighted if node.name in excluded),
    )


def _weights(nodes: Iterable[onnx.NodeProto]) -> tuple[Weight, ...]:
    """Give each weight once: where nodes share one, the first says along which axis it is quantized."""
    weights: dict[str, Weight] = {}
    for node in nodes:
        weights.setdefault(node.input[1], Weight(node.input[1], _channel_axis(node)))
    return tuple(weights.values())


def name_nodes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give a name of its own to each node that has none, in place; placement goes by names."""
    given = {node.name for node in model.graph.node}
    numbers = count()
    taken = {""}
    for node in model.graph.node:
        if node.name in taken:
            names = (f"{node.op_type}_{number}" for number in numbers)
            node.name = next(name for name in names if name not in given)
        taken.add(node.name)
    return model


@dataclass(frozen=True)
class Head:
    """The end of a detector.

    Attributes:
        outputs: Names of the last weighted nodes of each branch.
        decoding: Names of everything after them, DFL included.
    """

    outputs: frozenset[str]
    decoding: frozenset[str]


def find_head(model: onnx.ModelProto) -> Head:
    """Find the head by walking from the outputs towards the input, up to the first weighted nodes.

    A convolution that is fed by a Softmax is DFL, an expectation with fixed weights: part of decoding.
    """
    graph = model.graph
    ranks = {one.name: len(one.dims) for one in graph.initializer}
    producer = {name: node for node in graph.node for name in node.output}
    outputs: set[str] = set()
    decoding: set[str] = set()
    queue = [output.name for output in graph.output]
    while queue:
        node = producer.get(queue.pop())
        if node is None or node.name in outputs | decoding:
            continue
        if is_weighted(node, ranks) and not _is_dfl(node, producer):
            outputs.add(node.name)
        else:
            decoding.add(node.name)
            queue += node.input
    return Head(frozenset(outputs), frozenset(decoding))


def is_weighted(node: onnx.NodeProto, ranks: Mapping[str, int]) -> bool:
    """Say whether a node multiplies its input with stored weights; `ranks` are those of all initializers."""
    if node.op_type not in _CHANNEL_AXIS or len(node.input) < 2:
        return False
    rank = ranks.get(node.input[1], 0)
    return rank == 2 if node.op_type == "MatMul" else rank > 0


def _is_dfl(node: onnx.NodeProto, producer: dict[str, onnx.NodeProto]) -> bool:
    source = producer.get(node.input[0])
    while source is not None and source.op_type in _TRANSPARENT:
        source = producer.get(source.input[0])
    return node.op_type == "Conv" and source is not None and source.op_type == "Softmax"


def _channel_axis(node: onnx.NodeProto) -> int:
    transposed = any(one.name == "transB" and one.i for one in node.attribute)
    return 0 if transposed else _CHANNEL_AXIS[node.op_type]


def _excluded(nodes: Iterable[onnx.NodeProto], patterns: Sequence[str], head: Head) -> dict[str, str]:
    """Give the reason for each excluded node, by name."""
    names = [node.name for node in nodes]
    excluded: dict[str, str] = {}
    for pattern in patterns:
        if pattern == HEAD:
            excluded |= dict.fromkeys(head.outputs, "output convolution of the head")
            excluded |= dict.fromkeys(head.decoding, "decoding of the head")
        elif fitting := [name for name in names if fnmatchcase(name, pattern)]:
            excluded |= dict.fromkeys(fitting, f"excluded by '{pattern}'")
        else:
            raise UsageError(
                f"quantize.exclude: no node of the model fits '{pattern}'.",
                hint=f"Node names look like {names[0]}; patterns may hold * and ?.",
            )
    return excluded


def _float_tensors(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto]) -> Iterator[str]:
    """Give the FP32 tensors that go in or out of `nodes`."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    infos = (*graph.value_info, *graph.output, *graph.input)
    floats = {one.name for one in infos if one.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    for node in nodes:
        yield from (name for name in (*node.input, *node.output) if name in floats)
