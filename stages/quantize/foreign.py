"""Foreign models: whatever exporter wrote it, a model gets the form that the quantizer works on."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from stages.quantize.graph import attribute, name_nodes
from stages.quantize.opset import opset_of, raise_opset
from targets.errors import ModelError

OPSET = 17  # the newest that every target reads: 8.5 of TensorRT ends there
_LOWEST = 13  # QuantizeLinear and DequantizeLinear have an axis from here on (ONNX's operator definitions)
_IR_VERSION = 8  # goes with opset 17; below 4, each initializer must be an input as well (ONNX's IR.md)
# How a Constant can hold numbers other than as a tensor.
_NUMBERS = {
    "value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64,
}  # fmt: skip


def prepared(model: onnx.ModelProto) -> onnx.ModelProto:
    """Bring a model into the form that is placed, calibrated and quantized; it computes the same.

    Its opset is 13 or newer, nodes have names of their own, constants are initializers and no inputs. A model
    that has this form already stays as it is.

    Args:
        model: FP32; may be changed.

    Raises:
        ModelError: It is no valid ONNX model, or its opset cannot be raised.
    """
    result = raised(model)
    _store_constants(result.graph)
    _take_from_inputs(result.graph)
    return name_nodes(result)


def raised(model: onnx.ModelProto) -> onnx.ModelProto:
    """Raise the opset of an old model to 17; a model of opset 13 or newer keeps its own.

    Raises:
        ModelError: It is no valid ONNX model, or ONNX has no conversion for one of its operators.
    """
    result = model if opset_of(model) >= _LOWEST else raise_opset(model, OPSET)
    result.ir_version = max(result.ir_version, _IR_VERSION)
    try:
        onnx.checker.check_model(result)
    except onnx.checker.ValidationError as exc:
        first = (str(exc).strip().splitlines() or ["it says no more"])[0]
        raise ModelError(
            f"This is no valid ONNX model: {first}", hint="Export it anew, and check it with onnx.checker."
        ) from exc
    return result


def _store_constants(graph: onnx.GraphProto) -> None:
    """Make initializers of Constant nodes, and of an Identity that gives an initializer another name.

    Exporters write weights in all three ways; PyTorch's takes an Identity for weights that are equal.
    """
    ends = {one.name for one in graph.output}
    stored = {one.name: one for one in graph.initializer}
    kept = []
    for node in graph.node:
        tensor = _constant(node, stored)
        if tensor is None or node.output[0] in ends:
            kept.append(node)
            continue
        copy = onnx.TensorProto()
        copy.CopyFrom(tensor)
        copy.name = node.output[0]
        stored[copy.name] = copy
        graph.initializer.append(copy)
    if len(kept) < len(graph.node):
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
        del graph.node[:]
        graph.node.extend(copies)


def _constant(node: onnx.NodeProto, stored: dict[str, onnx.TensorProto]) -> onnx.TensorProto | None:
    """Give the tensor that a node gives whatever the input is."""
    if node.op_type == "Identity":
        return stored.get(node.input[0])
    if node.op_type != "Constant":
        return None
    for name, kind in _NUMBERS.items():
        value = attribute(node, name)
        if value is not None:
            return numpy_helper.from_array(np.array(value, kind))
    tensor: onnx.TensorProto | None = attribute(node, "value")  # there is none where it holds text
    return tensor


def _take_from_inputs(graph: onnx.GraphProto) -> None:
    """See that no initializer is an input too, as in old files: what can change cannot be quantized."""
    names = {one.name for one in graph.initializer}
    for position in reversed(range(len(graph.input))):
        if graph.input[position].name in names:
            del graph.input[position]
