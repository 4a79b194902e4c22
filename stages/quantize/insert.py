"""Insertion: a float graph becomes an explicit Q/DQ graph."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, count, pairwise

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from stages.onnx_files import nodes_of
from stages.quantize.placement import Placement, Weight
from stages.quantize.ranges import Q_MAX, Grid

_PAIR = ("QuantizeLinear", "DequantizeLinear")
REDUCED_MAX = 63  # 7 bits: 2 * 255 * 63 fits into 16 bits, 2 * 255 * 127 does not


def insert_qdq(
    model: onnx.ModelProto,
    placement: Placement,
    grids: Mapping[str, Grid],
    *,
    reduced: Collection[str] = (),
    limits: Mapping[str, NDArray[np.float32]] | None = None,
) -> onnx.ModelProto:
    """Give a new model in which what `placement` names goes through INT8.

    Weights are stored as INT8 with a DequantizeLinear; activations get a QuantizeLinear and a
    DequantizeLinear. Zero points are always there: the parser of TensorRT 8.5 wants three inputs.

    Args:
        model: FP32, with named nodes.
        placement: What becomes INT8.
        grids: How each activation of the placement is rounded.
        reduced: Weights to store in 7 bits.
        limits: Largest magnitude to keep of each channel, (channels,), by weight; the others keep all.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    names = _Names.free_in(model, [*placement.activations, *(weight.name for weight in placement.weights)])
    floats = _read_in_float(model, placement)
    weights = [
        _store_weight(
            graph,
            weight,
            names,
            largest=REDUCED_MAX if weight.name in reduced else Q_MAX,
            limits=(limits or {}).get(weight.name),
            keep=weight.name in floats,
        )
        for weight in placement.weights
    ]
    pairs = {name: _pair(graph, name, names, grids[name]) for name in placement.activations}
    _rewire(graph, placement, weights, pairs)
    for name in {output.name for output in graph.output} & pairs.keys():
        _swap_output(graph, name, pairs[name][1].output[0])
    onnx.checker.check_model(result)
    return result


@dataclass(frozen=True)
class _Names:
    """What is inserted is named after the tensor, as `x_dequantized`.

    Attributes:
        end: Of every name; empty unless the model has such names already.
    """

    end: str

    @classmethod
    def free_in(cls, model: onnx.ModelProto, stems: Collection[str]) -> _Names:
        """Give names that are not taken."""
        taken = {one.name for one in (*model.graph.input, *model.graph.initializer)}
        for node in nodes_of(model):
            taken.update([node.name, *node.output])
        tried = map(cls, chain([""], (f"_{number}" for number in count(1))))
        return next(names for names in tried if taken.isdisjoint(names.all_of(stems)))

    def all_of(self, stems: Collection[str]) -> Iterator[str]:
        """Give all names that can be made for some tensors."""
        kinds = ("scale", "zero_point", "quantized", "dequantized", *_PAIR)
        return (self.of(stem, kind) for stem in stems for kind in kinds)

    def of(self, name: str, kind: str) -> str:
        """Give the name of what is inserted for a tensor."""
        return f"{name}_{kind}{self.end}"


def _read_in_float(model: onnx.ModelProto, placement: Placement) -> set[str]:
    """Give what is read by a node that stays in float; one in the body of an If or Loop does."""
    chosen = set(placement.nodes)
    inner = list(nodes_of(model))[len(model.graph.node) :]
    floats = [node for node in model.graph.node if node.name not in chosen]
    return {name for node in (*floats, *inner) for name in node.input}


def _rewire(
    graph: onnx.GraphProto,
    placement: Placement,
    weights: list[onnx.NodeProto],
    pairs: Mapping[str, list[onnx.NodeProto]],
) -> None:
    """Make the placed inputs read the INT8 forms, and put each Q/DQ pair behind what it reads."""
    nodes = [*weights]
    for source in graph.input:
        nodes += pairs.get(source.name, [])
    stored = {weight.name: node.output[0] for weight, node in zip(placement.weights, weights, strict=True)}
    chosen, edges = set(placement.nodes), {(edge.node, edge.position) for edge in placement.edges}
    for node in graph.node:
        for position, name in enumerate(node.input):
            if (node.name, position) in edges:
                node.input[position] = pairs[name][1].output[0]
            elif node.name in chosen and name in stored:
                node.input[position] = stored[name]
        nodes.append(onnx.NodeProto.FromString(node.SerializeToString()))
        for name in node.output:
            nodes += pairs.get(name, [])
    del graph.node[:]
    graph.node.extend(nodes)


def _pair(graph: onnx.GraphProto, name: str, names: _Names, grid: Grid) -> list[onnx.NodeProto]:
    constants = [names.of(name, "scale"), names.of(name, "zero_point")]
    kind = np.uint8 if grid.unsigned else np.int8
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.array(grid.scale, np.float32), constants[0]),
            numpy_helper.from_array(np.array(grid.zero_point, kind), constants[1]),
        ]
    )
    ends = [name, names.of(name, "quantized"), names.of(name, "dequantized")]
    return [
        helper.make_node(kind, [source, *constants], [result], names.of(name, kind))
        for kind, (source, result) in zip(_PAIR, pairwise(ends), strict=True)
    ]


def _store_weight(
    graph: onnx.GraphProto,
    weight: Weight,
    names: _Names,
    *,
    largest: int,
    limits: NDArray[np.float32] | None,
    keep: bool,
) -> onnx.NodeProto:
    """Store a weight as INT8 values with their scales, instead of the floats or (`keep`) beside them."""
    position = next(i for i, one in enumerate(graph.initializer) if one.name == weight.name)
    values = numpy_helper.to_array(graph.initializer[position])
    integers, scales = quantize_weight(values, weight.axis, largest=largest, limits=limits)
    if not keep:
        del graph.initializer[position]
    inputs = [names.of(weight.name, kind) for kind in ("quantized", "scale", "zero_point")]
    for name, array in zip(inputs, (integers, scales, np.zeros(scales.shape, np.int8)), strict=True):
        graph.initializer.append(numpy_helper.from_array(array, name))
    kind = "DequantizeLinear"
    output = names.of(weight.name, "dequantized")
    return helper.make_node(kind, inputs, [output], names.of(weight.name, kind), axis=weight.axis)


def quantize_weight(
    values: NDArray[np.float32],
    axis: int,
    *,
    largest: int = Q_MAX,
    limits: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Quantize per channel, symmetric: the largest magnitude of each channel becomes `largest`.

    Args:
        values: Of a weight.
        axis: Of the channels.
        largest: Of the integers.
        limits: Magnitudes that become `largest` instead, (channels,); what is beyond is clipped.

    Returns:
        Integers of the same shape, and the scales, (channels,).
    """
    others = tuple(i for i in range(values.ndim) if i != axis)
    kept = np.abs(values).max(axis=others) if limits is None else limits
    scales = (kept / largest).astype(np.float32)
    scales[scales == 0] = 1.0  # a channel of zeros
    shape = [1] * values.ndim
    shape[axis] = -1
    integers = np.clip(np.rint(values / scales.reshape(shape)), -largest, largest)
    return integers.astype(np.int8), scales


def _swap_output(graph: onnx.GraphProto, name: str, dequantized: str) -> None:
    """Give the INT8 form of a graph output its name, and the float one another."""
    names = {dequantized: name, name: f"{dequantized}_float"}
    for node in graph.node:
        for tensors in (node.input, node.output):
            for position, tensor in enumerate(tensors):
                tensors[position] = names.get(tensor, tensor)
