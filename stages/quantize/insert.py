"""Insertion: a float graph becomes an explicit Q/DQ graph."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from stages.quantize.calibrate import Q_MAX
from stages.quantize.placement import Placement, Weight


def insert_qdq(model: onnx.ModelProto, placement: Placement, scales: Mapping[str, float]) -> onnx.ModelProto:
    """Give a new model in which what `placement` names goes through INT8.

    Weights are stored as INT8 with a DequantizeLinear; activations get a QuantizeLinear and a
    DequantizeLinear. Zero points are zero, and always there: the parser of TensorRT 8.5 wants three inputs.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    chosen = set(placement.nodes)
    weights = [
        _store_weight(graph, weight, keep=_is_shared(graph, weight, chosen)) for weight in placement.weights
    ]
    pairs = {name: _pair(graph, name, scales[name]) for name in placement.activations}
    _rewire(graph, chosen, weights, pairs)
    for name in {output.name for output in graph.output} & pairs.keys():
        _swap_output(graph, name)
    onnx.checker.check_model(result)
    return result


def _dequantized(name: str) -> str:
    return f"{name}_dequantized"


def _is_shared(graph: onnx.GraphProto, weight: Weight, chosen: set[str]) -> bool:
    """Say whether a node that stays in float reads the weight too."""
    return any(weight.name in node.input for node in graph.node if node.name not in chosen)


def _rewire(
    graph: onnx.GraphProto,
    chosen: set[str],
    weights: list[onnx.NodeProto],
    pairs: Mapping[str, list[onnx.NodeProto]],
) -> None:
    """Make the chosen nodes read the INT8 forms, and put each Q/DQ pair behind what it reads."""
    nodes = [*weights]
    for source in graph.input:
        nodes += pairs.get(source.name, [])
    quantized = {*pairs, *(node.output[0].removesuffix("_dequantized") for node in weights)}
    for node in graph.node:
        if node.name in chosen:
            for position, name in enumerate(node.input):
                node.input[position] = _dequantized(name) if name in quantized else name
        nodes.append(onnx.NodeProto.FromString(node.SerializeToString()))
        for name in node.output:
            nodes += pairs.get(name, [])
    del graph.node[:]
    graph.node.extend(nodes)


def _pair(graph: onnx.GraphProto, name: str, scale: float) -> list[onnx.NodeProto]:
    constants = [f"{name}_scale", f"{name}_zero_point"]
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.array(scale, np.float32), constants[0]),
            numpy_helper.from_array(np.array(0, np.int8), constants[1]),
        ]
    )
    between = f"{name}_quantized"
    return [
        helper.make_node("QuantizeLinear", [name, *constants], [between], f"{name}_QuantizeLinear"),
        helper.make_node(
            "DequantizeLinear", [between, *constants], [_dequantized(name)], f"{name}_DequantizeLinear"
        ),
    ]


def _store_weight(graph: onnx.GraphProto, weight: Weight, *, keep: bool) -> onnx.NodeProto:
    """Store a weight as INT8 values with their scales, instead of the floats or (`keep`) beside them."""
    position = next(i for i, one in enumerate(graph.initializer) if one.name == weight.name)
    values = numpy_helper.to_array(graph.initializer[position])
    integers, scales = quantize_weight(values, weight.axis)
    if not keep:
        del graph.initializer[position]
    names = [f"{weight.name}_quantized", f"{weight.name}_scale", f"{weight.name}_zero_point"]
    for name, array in zip(names, (integers, scales, np.zeros(scales.shape, np.int8)), strict=True):
        graph.initializer.append(numpy_helper.from_array(array, name))
    return helper.make_node(
        "DequantizeLinear",
        names,
        [_dequantized(weight.name)],
        f"{weight.name}_DequantizeLinear",
        axis=weight.axis,
    )


def quantize_weight(values: NDArray[np.float32], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Quantize per channel, symmetric: the largest magnitude of each channel becomes 127.

    Returns:
        Integers of the same shape, and the scales, (channels,).
    """
    others = tuple(i for i in range(values.ndim) if i != axis)
    scales = (np.abs(values).max(axis=others) / Q_MAX).astype(np.float32)
    scales[scales == 0] = 1.0  # a channel of zeros
    shape = [1] * values.ndim
    shape[axis] = -1
    integers = np.clip(np.rint(values / scales.reshape(shape)), -Q_MAX, Q_MAX)
    return integers.astype(np.int8), scales


def _swap_output(graph: onnx.GraphProto, name: str) -> None:
    """Give the INT8 form of a graph output its name, and the float one another."""
    names = {_dequantized(name): name, name: f"{name}_float"}
    for node in graph.node:
        for tensors in (node.input, node.output):
            for position, tensor in enumerate(tensors):
                tensors[position] = names.get(tensor, tensor)
