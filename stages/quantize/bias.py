"""Bias correction: the mean error that rounded weights make is taken out of the biases.

A rounded weight W_q makes the output of its operator wrong by (W_q - W) x. The mean of that over all
pictures, (W_q - W) E[x], is the same for a whole channel, so that the bias can make up for it (M. Nagel et
al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, section 4.2; there
E[x] comes from batch normalization, here from calibration).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from stages.quantize.calibration.statistics import Statistics
from stages.quantize.graph import Graph, attribute
from stages.quantize.insert import REDUCED_MAX, quantize_weight
from stages.quantize.placement import Placement
from stages.quantize.ranges import Q_MAX

_CORRECTED = {"Conv", "ConvTranspose", "Gemm"}


def correct_biases(
    model: onnx.ModelProto,
    placement: Placement,
    statistics: Mapping[str, Statistics],
    *,
    reduced: Collection[str] = (),
) -> onnx.ModelProto:
    """Give a new model, still in float, whose biases make up for the weights that will be rounded.

    Nodes without a bias get one. Left as they are: MatMul, which has no bias and whose channels are the last
    axis, of which there are no means; nodes whose bias is computed.

    Args:
        model: FP32, with named nodes.
        placement: What becomes INT8; only its nodes are corrected.
        statistics: By tensor, with means.
        reduced: Weights that will be stored in 7 bits.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = Graph(result)
    axes = {weight.name: weight.axis for weight in placement.weights}
    for name in placement.nodes:
        node = graph.named[name]
        if node.op_type in _CORRECTED and node.input[1] in axes:
            largest = REDUCED_MAX if node.input[1] in reduced else Q_MAX
            error = _weight_error(graph, node.input[1], axes[node.input[1]], largest)
            _correct(graph, node, _mean_error(node, error, statistics.get(node.input[0])))
    return result


def _weight_error(graph: Graph, name: str, axis: int, largest: int) -> NDArray[np.float64]:
    """Give rounded weights less the weights."""
    values = numpy_helper.to_array(graph.weights[name])
    integers, scales = quantize_weight(values, axis, largest=largest)
    shape = [1] * values.ndim
    shape[axis] = -1
    rounded = integers * scales.reshape(shape)
    error: NDArray[np.float64] = rounded.astype(np.float64) - values
    return error


def _mean_error(
    node: onnx.NodeProto, error: NDArray[np.float64], seen: Statistics | None
) -> NDArray[np.float64] | None:
    """Give the mean error at the output, (channels,); None where it is not known.

    Padding counts as if it were like the rest of the input.
    """
    groups = int(attribute(node, "group", 1))
    by_input = node.op_type == "ConvTranspose" or (
        node.op_type == "Gemm" and not attribute(node, "transB", 0)
    )
    taps = error.reshape(*error.shape[:2], -1).sum(axis=2)
    if not by_input:  # (outs, ins of a group)
        taps = taps.reshape(groups, -1, taps.shape[1]).transpose(0, 2, 1)
    taps = taps.reshape(groups, -1, taps.shape[-1])  # (groups, ins of a group, outs of a group)
    if seen is None or seen.means.size != taps.shape[0] * taps.shape[1]:
        return None
    mean: NDArray[np.float64] = np.einsum("gi,gio->go", seen.means.reshape(groups, -1), taps).reshape(-1)
    return mean * _share(node)


def _share(node: onnx.NodeProto) -> float:
    """Give the factor by which an output is less, or more, than the sum over all taps."""
    if node.op_type == "Gemm":
        return float(attribute(node, "alpha", 1.0))
    # Of a transposed convolution, each output meets one tap in as many as the strides say.
    return 1.0 if node.op_type == "Conv" else 1 / math.prod(attribute(node, "strides", [1]))


def _correct(graph: Graph, node: onnx.NodeProto, error: NDArray[np.float64] | None) -> None:
    """Take `error` out of the bias, which becomes an initializer of the node's own."""
    given = node.input[2] if len(node.input) > 2 else ""
    bias = graph.constant(given) if given else np.zeros(1, np.float32)
    if error is None or bias is None:
        return
    factor = attribute(node, "beta", 1.0) if node.op_type == "Gemm" else 1.0
    if factor == 0:
        return
    corrected = (bias - error / factor).astype(np.float32)
    alone = given in graph.weights and len(graph.readers[given]) == 1 and given not in graph.outputs
    if alone:
        graph.weights[given].CopyFrom(numpy_helper.from_array(corrected, given))
        return
    name = f"{node.name}_corrected_bias"
    graph.model.graph.initializer.append(numpy_helper.from_array(corrected, name))
    if len(node.input) > 2:
        node.input[2] = name
    else:
        node.input.append(name)
