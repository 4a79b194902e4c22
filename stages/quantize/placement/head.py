"""Head: where a detector's last convolutions end and decoding begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from stages.quantize.graph import Graph, attribute

# Axis of the output channels in the weight (ONNX operator definitions).
_CHANNEL_AXIS = {"Conv": 0, "ConvTranspose": 1, "MatMul": 1, "Gemm": 1}
# Operators that move values without changing them; one can look through them for what feeds a node.
_MOVES = {"Transpose", "Reshape", "Identity", "Squeeze", "Unsqueeze"}
# Operators that pick some of the candidates, by their scores.
_CHOOSES = {"TopK", "NonMaxSuppression"}


@dataclass(frozen=True)
class Head:
    """The end of a detector.

    Attributes:
        outputs: Names of the last weighted nodes of each branch.
        decoding: Names of everything after them, DFL included.
        queries: Names of what works on candidates that were chosen by score, and on their coordinates, but
            is no decoding: the decoder of a DETR. Empty in a YOLO.
    """

    outputs: frozenset[str]
    decoding: frozenset[str]
    queries: frozenset[str] = frozenset()


def find_head(graph: Graph) -> Head:
    """Find the head by walking from outputs, and from choices, towards the input, up to weighted nodes.

    A convolution that is fed by a Softmax is DFL, an expectation with fixed weights: part of decoding.
    The last weighted nodes of a DETR work on chosen candidates, as those before them do.
    """
    outputs: set[str] = set()
    decoding: set[str] = set()
    choices = [node for node in graph.nodes if node.op_type in _CHOOSES]
    queue = [*graph.outputs, *(name for node in choices for name in node.input)]
    while queue:
        node = graph.makers.get(queue.pop())
        if node is None or node.name in outputs | decoding:
            continue
        if is_weighted(node, graph.weights) and not _is_dfl(node, graph):
            outputs.add(node.name)
        else:
            decoding.add(node.name)
            queue += node.input
    chosen = _after_choice(graph)
    return Head(frozenset(outputs - chosen), frozenset(decoding), frozenset(chosen - decoding))


def is_weighted(node: onnx.NodeProto, weights: Mapping[str, onnx.TensorProto]) -> bool:
    """Say whether a node multiplies its input with stored weights."""
    if node.op_type not in _CHANNEL_AXIS or len(node.input) < 2 or node.input[1] not in weights:
        return False
    rank = len(weights[node.input[1]].dims)
    return rank == 2 if node.op_type == "MatMul" else rank > 0


def channel_axis(node: onnx.NodeProto) -> int:
    """Give the axis of the output channels in a weighted node's weight."""
    return 0 if attribute(node, "transB", 0) else _CHANNEL_AXIS[node.op_type]


def _after_choice(graph: Graph) -> set[str]:
    """Give the nodes that depend on a choice of candidates; nodes come in the order they are computed."""
    dependent: set[str] = set()
    for node in graph.nodes:
        if node.op_type in _CHOOSES or any(one.name in dependent for one in graph.before(node)):
            dependent.add(node.name)
    return dependent


def _is_dfl(node: onnx.NodeProto, graph: Graph) -> bool:
    source = graph.makers.get(node.input[0])
    while source is not None and source.op_type in _MOVES:
        source = graph.makers.get(source.input[0])
    return node.op_type == "Conv" and source is not None and source.op_type == "Softmax"
