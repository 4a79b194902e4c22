"""Cross-layer equalization: channels between two convolutions are scaled so that all use a grid alike.

On a grid for the whole tensor, a channel of small values has few steps to itself. Where the function f
between two convolutions is positively homogeneous, f(s x) = s f(x) for s > 0, the first can make a channel
s times smaller, the second can multiply its weights for it by s, and in float nothing changes (M. Nagel et
al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, section 4.1). ReLU,
LeakyReLU and PReLU are such functions; SiLU and ReLU6 are not, so that stock YOLOs have no pairs, but for the
two of YOLOv10 that have nothing between them (SCDown).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from stages.onnx_files import graphs_of
from stages.quantize.graph import Graph, attribute

_HOMOGENEOUS = {"Relu", "LeakyRelu", "PRelu"}
_ROUNDS = 50  # over all pairs: in a chain, what one pair settles its neighbours unsettle
_SETTLED = 1e-3  # of a factor's distance from 1

_Pair = tuple[onnx.NodeProto, onnx.NodeProto]
_Values = dict[str, NDArray[np.float64]]


def equalize(model: onnx.ModelProto) -> tuple[onnx.ModelProto, int]:
    """Give a new model that computes the same in float, and the number of pairs that were equalized.

    A pair is two Conv with nothing between them, or a homogeneous activation, that no one else reads.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = Graph(result)
    pairs = list(_find_pairs(graph))
    names = {name for pair in pairs for name in _weights_of(pair)}
    values = {name: numpy_helper.to_array(graph.weights[name]).astype(np.float64) for name in names}
    for _ in range(_ROUNDS):
        distances = [_equalize_pair(pair, values) for pair in pairs]
        if max(distances, default=0.0) < _SETTLED:
            break
    for name, scaled in values.items():
        graph.weights[name].CopyFrom(numpy_helper.from_array(scaled.astype(np.float32), name))
    return result, len(pairs)


def _find_pairs(graph: Graph) -> Iterator[_Pair]:
    taken = _captured(graph.model) | set(graph.outputs)
    for first in graph.nodes:
        if first.op_type != "Conv":
            continue
        second = _only_reader(graph, first.output[0], taken)
        if second is not None and second.op_type in _HOMOGENEOUS:
            second = _only_reader(graph, second.output[0], taken)
        if second is not None and second.op_type == "Conv" and _are_own(graph, (first, second), taken):
            yield first, second


def _captured(model: onnx.ModelProto) -> set[str]:
    """Give the names that the bodies of `If`, `Loop` and `Scan` mention."""
    return {
        name
        for inner in islice(graphs_of(model), 1, None)
        for names in (*(node.input for node in inner.node), [one.name for one in inner.output])
        for name in names
    }


def _only_reader(graph: Graph, name: str, taken: set[str]) -> onnx.NodeProto | None:
    """Give the node whose first input a tensor is, if nobody else reads it."""
    readers = graph.readers.get(name, [])
    alone = len(readers) == 1 and readers[0][1] == 0 and name not in taken
    return readers[0][0] if alone else None


def _are_own(graph: Graph, pair: _Pair, taken: set[str]) -> bool:
    """Say whether all that would be scaled is FP32, stored, and read by nobody else."""
    return all(
        name in graph.weights
        and graph.weights[name].data_type == onnx.TensorProto.FLOAT
        and len(graph.readers[name]) == 1
        and name not in taken
        for name in _weights_of(pair)
    )


def _weights_of(pair: _Pair) -> list[str]:
    """Name the weights and the bias of the first, and the weights of the second."""
    first, second = pair
    return [name for name in (*first.input[1:], second.input[1]) if name]


def _equalize_pair(pair: _Pair, values: _Values) -> float:
    """Scale one pair, in place, so that each channel has the same largest weight on both sides.

    Returns:
        How far the factors were from 1 at most: 0 where nothing was to be done.
    """
    first, second = pair
    before, after = values[first.input[1]], values[second.input[1]]
    groups = int(attribute(second, "group", 1))
    # (groups, outs of a group, ins of a group, taps): the channel is the first and the third.
    incoming = after.reshape(groups, -1, after.shape[1], int(np.prod(after.shape[2:])))
    made = np.abs(before).reshape(len(before), -1).max(axis=1)
    used = np.abs(incoming).max(axis=(1, 3)).reshape(-1)
    factors = np.ones(len(made))
    alive = (made > 0) & (used > 0)  # others make no difference, whatever they are scaled by
    factors[alive] = np.sqrt(made[alive] / used[alive])
    for name in first.input[1:]:
        if name:
            values[name] /= factors.reshape(-1, *[1] * (values[name].ndim - 1))
    incoming *= factors.reshape(groups, 1, -1, 1)
    values[second.input[1]] = incoming.reshape(after.shape)
    return float(np.abs(factors - 1).max())
