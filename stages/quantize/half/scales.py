"""Scales: those of Q/DQ that FP16 has too few bits for are raised, and stored integers rounded anew."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from stages.quantize.graph import Graph, attribute
from stages.quantize.half.assign import Assignment
from stages.quantize.half.constants import FP16_NORMAL


def fit_scales(model: onnx.ModelProto, assignment: Assignment) -> None:
    """Make small scales of Q/DQ nodes in FP16 representable, in place.

    Below 2^-14 FP16 loses bits, and below 2^-25 everything: a scale would be off by percents, or 0, which no
    parser takes. Such a scale goes up to the next FP16 value, and a weight's integers are rounded anew, so
    that what they stand for moves by half a step at most. Channels that training switched off are like this.
    """
    graph = Graph(model)
    for node in graph.nodes:
        if node.op_type != "DequantizeLinear" or not assignment.wants_half(node, 1):
            continue
        stored = graph.weights.get(node.input[1])
        if stored is None or stored.data_type != TensorProto.FLOAT:
            continue
        scale = numpy_helper.to_array(stored)
        raised = raise_scale(scale)
        if np.array_equal(raised, scale):
            continue
        integers = graph.weights.get(node.input[0])
        if integers is not None and all(len(graph.readers[name]) == 1 for name in node.input[:2]):
            _round_anew(node, integers, graph, scale / raised)
        stored.CopyFrom(numpy_helper.from_array(raised, stored.name))


def raise_scale(scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the scales, those below FP16's normal range raised to the next FP16 value."""
    nearest = scale.astype(np.float16)
    above = np.where(nearest.astype(np.float32) < scale, np.nextafter(nearest, np.float16(np.inf)), nearest)
    small = (scale > 0) & (scale < FP16_NORMAL)
    return np.where(small, above.astype(np.float32), scale).astype(np.float32)


def _round_anew(
    node: onnx.NodeProto, integers: onnx.TensorProto, graph: Graph, factor: NDArray[np.float32]
) -> None:
    """Multiply stored integers with a factor of at most 1 a channel."""
    values = numpy_helper.to_array(integers)
    zero_point = graph.constant(node.input[2]) if len(node.input) > 2 else None
    shape = [1] * values.ndim
    if factor.size > 1:
        shape[attribute(node, "axis", 1)] = -1
    origin = np.zeros(factor.shape) if zero_point is None else zero_point.astype(np.float64)
    middle = origin.reshape(shape)
    moved = np.rint((values - middle) * factor.reshape(shape).astype(np.float64)) + middle
    integers.CopyFrom(numpy_helper.from_array(moved.astype(values.dtype), integers.name))
