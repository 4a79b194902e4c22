"""What a version's parser refuses, as far as detectors come near it."""

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from ._api import NUMBERS

_OPERATORS = Path(__file__).resolve().parents[3] / "targets" / "operators" / "tensorrt.json"
_QUANTIZING = ("QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True)
class Problem:
    """One complaint. `code` is a name of ErrorCode."""

    code: str
    text: str
    index: int = -1
    name: str = ""
    operator: str = ""


@functools.lru_cache
def operators():
    """Give the names of all operators that this version's parser has an importer for."""
    table = json.loads(_OPERATORS.read_text())
    order = list(table["versions"])
    return {
        name
        for name, spans in table["operators"].items()
        if any(_within(order, span) and span[2] != "none" for span in spans)
    }


def _within(order, span):
    return order.index(span[0]) <= order.index(_newest(order)) <= order.index(span[1])


def _newest(versions):
    """Give the newest version of the table that is not newer than ours."""
    return max((one for one in versions if _numbers(one) <= NUMBERS), key=_numbers)


def _numbers(version):
    return tuple(int(part) for part in version.split("."))


def problems(model, *, strongly_typed):
    """Give all complaints of the parser."""
    found = [*_external(model), *_opset(model)]
    types = _types(model)
    weights = _constants(model)
    for index, node in enumerate(model.graph.node):
        for code, text in _complaints(node, types, weights, model, strongly_typed):
            found.append(Problem(code, text, index, node.name, node.op_type))
    return found


def remarks(model):
    """Give what the parser warns of."""
    if NUMBERS < (10,) and any(
        weight.data_type == onnx.TensorProto.INT64 for weight in model.graph.initializer
    ):
        yield (
            "onnx2trt_utils.cpp:374: Your ONNX model has been generated with INT64 weights, while TensorRT "
            "does not natively support INT64. Attempting to cast down to INT32."
        )


def _external(model):
    for weight in model.graph.initializer:
        if weight.data_location == onnx.TensorProto.EXTERNAL:
            yield Problem("INVALID_GRAPH", f"Failed to open file: external weights of {weight.name}")


def _opset(model):
    versions = json.loads(_OPERATORS.read_text())["versions"]
    most = versions[_newest(versions)]["opset_max"]
    for opset in model.opset_import:
        if opset.domain in {"", "ai.onnx"} and opset.version > most:
            yield Problem(
                "UNSUPPORTED_GRAPH", f"Opset {opset.version} is not supported; the newest is {most}"
            )


def _complaints(node, types, weights, model, strongly_typed):
    local = {(function.domain, function.name) for function in model.functions}
    if (node.domain, node.op_type) in local and NUMBERS >= (10,):
        return
    if node.domain not in {"", "ai.onnx"} or node.op_type not in operators():
        text = f"No importer registered for op: {node.op_type}. Attempting to import as plugin. "
        text += f"getPluginCreator could not find plugin: {node.op_type} version: 1"
        yield "UNSUPPORTED_NODE", text
        return
    if node.op_type in _QUANTIZING:
        yield from _about_quantizing(node, types, weights, strongly_typed)
    if strongly_typed:
        yield from _about_types(node, types)


def _about_quantizing(node, types, weights, strongly_typed):
    scale = weights.get(node.input[1])
    if NUMBERS < (10,) and len(node.input) != 3:
        text = "Assertion failed: (inputs.size() == 3) && This version of TensorRT requires 3 inputs for the"
        yield "INVALID_NODE", f"{text} {node.op_type} operator."
        return
    if scale is None:
        yield "UNSUPPORTED_NODE", "Assertion failed: scale.is_weights(): the scale must be an initializer."
        return
    if NUMBERS < (10,) and scale.dtype != np.float32:
        yield "UNSUPPORTED_NODE", "Assertion failed: scale type must be FLOAT."
    if not np.all(scale.astype(np.float32) > 0):
        yield "INVALID_NODE", "Assertion failed: scale values must be positive."
    zero = weights.get(node.input[2]) if len(node.input) == 3 and node.input[2] else None
    if zero is not None:
        yield from _about_zero_point(zero, scale)
    if strongly_typed and node.op_type == "QuantizeLinear":
        yield from _about_scale_type(node, types, scale)


def _about_zero_point(zero, scale):
    if zero.astype(np.int32).any():
        yield (
            "UNSUPPORTED_NODE",
            "Assertion failed: TensorRT only supports symmetric quantization: zero point not 0.",
        )
    if NUMBERS < (10,) and zero.dtype == np.uint8:
        yield "UNSUPPORTED_NODE", "Assertion failed: UINT8 zero point is not supported."
    if zero.size != scale.size:
        yield "INVALID_NODE", "Assertion failed: zero point and scale must have the same size."


def _about_scale_type(node, types, scale):
    """10.3: the input has the type of the scale. 10.16: only if the scale is FP16 or BF16."""
    wanted = onnx.helper.np_dtype_to_tensor_dtype(scale.dtype)
    given = types.get(node.input[0], wanted)
    if given != wanted and (NUMBERS < (10, 16) or scale.dtype != np.float32):
        yield "UNSUPPORTED_NODE_DATATYPE", "Input data type must match the scale data type."


_SAME_TYPE = frozenset(
    {"Add", "Sub", "Mul", "Div", "Conv", "ConvTranspose", "MatMul", "Concat", "Max", "Min"}
)


def _about_types(node, types):
    if node.op_type in _SAME_TYPE:
        given = {types[name] for name in node.input if name in types}
        if len(given) > 1:
            yield (
                "UNSUPPORTED_NODE_DATATYPE",
                f"{node.op_type} has inputs of different types in a strongly typed network.",
            )


def _constants(model):
    """Give scales and zero points that are constants, or casts of constants."""
    found = {
        weight.name: numpy_helper.to_array(weight)
        for weight in model.graph.initializer
        if weight.name in _scales(model) and weight.data_location != onnx.TensorProto.EXTERNAL
    }
    for node in model.graph.node:
        attributes = {one.name: one for one in node.attribute}
        if node.op_type == "Constant" and "value" in attributes:
            found[node.output[0]] = numpy_helper.to_array(attributes["value"].t)
        elif node.op_type == "Cast" and node.input[0] in found:
            kind = onnx.helper.tensor_dtype_to_np_dtype(attributes["to"].i)
            found[node.output[0]] = found[node.input[0]].astype(kind)
    return found


def _scales(model):
    names = {name for node in model.graph.node if node.op_type in _QUANTIZING for name in node.input[1:]}
    return names | {
        node.input[0] for node in model.graph.node if node.op_type == "Cast" and node.output[0] in names
    }


def _types(model):
    """Give the element type of each tensor, as far as ONNX can tell."""
    try:
        graph = onnx.shape_inference.infer_shapes(model).graph
    except (onnx.shape_inference.InferenceError, RuntimeError):
        graph = model.graph
    values = [*graph.value_info, *graph.input, *graph.output]
    found = {value.name: value.type.tensor_type.elem_type for value in values}
    found.update({weight.name: weight.data_type for weight in graph.initializer})
    return {name: kind for name, kind in found.items() if kind}
