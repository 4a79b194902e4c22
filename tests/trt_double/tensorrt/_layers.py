"""Layers of an engine, as the inspector tells of them."""

import onnx

from ._rules import _types

_WEIGHTED = ("Conv", "ConvTranspose", "MatMul", "Gemm")
_QUANTIZING = ("QuantizeLinear", "DequantizeLinear")
_NOTHING = (*_QUANTIZING, "Constant", "Identity")
_FORMATS = {
    "INT8": "Thirty-two wide channel vectorized row major Int8 format",
    "FP16": "Channel major FP16 format where channel % 8 == 0",
    "FP32": "Row major linear FP32",
}
_ELEMENTS = {onnx.TensorProto.FLOAT16: "FP16", onnx.TensorProto.INT8: "INT8"}


def types(model):
    """Give the types that a weakly typed network must be allowed to have."""
    names = {_ELEMENTS[kind] for kind in _types(model).values() if kind in _ELEMENTS}
    if any(node.op_type in _QUANTIZING for node in model.graph.node):
        names.add("INT8")
    return names


def precision(model):
    """Give the lowest precision in a graph: `int8`, `fp16` or `fp32`."""
    names = types(model)
    return next(name.lower() for name in ("INT8", "FP16", "FP32") if name in names or name == "FP32")


def describe(model):
    """Give the layers: one a node, Q/DQ fused into what they feed, a reformat where the precision changes."""
    element = _types(model)
    made_by = {name: node for node in model.graph.node for name in node.output}
    layers, formats = [], {}
    for node in model.graph.node:
        if node.op_type in _NOTHING:
            continue
        kind = _precision_of(node, element, made_by)
        for name in filter(None, node.input[:1]):
            origin = _origin(name, made_by)
            if formats.get(origin, kind) != kind:
                layers.append(_reformat(node, origin, formats[origin], kind))
        formats.update(dict.fromkeys(node.output, kind))
        layers.append(_layer(node, kind))
    return layers or [{"Name": "identity", "LayerType": "NoOp", "Inputs": [], "Outputs": []}]


def _precision_of(node, element, made_by):
    fed = [made_by.get(name) for name in node.input[:2]]
    if node.op_type in _WEIGHTED and all(
        one is not None and one.op_type == "DequantizeLinear" for one in fed
    ):
        return "INT8"
    return _ELEMENTS.get(element.get(node.output[0], 0), "FP32")


def _origin(name, made_by):
    while name in made_by and made_by[name].op_type in _NOTHING and made_by[name].input:
        name = made_by[name].input[0]
    return name


def _layer(node, kind):
    weighted = node.op_type in _WEIGHTED
    name = node.name or node.output[0]
    return {
        "Name": f"{node.input[1]} + {name}" if weighted and kind == "INT8" else name,
        "LayerType": "CaskConvolution" if weighted else "PointWiseV2",
        "Inputs": [{"Name": node.input[0] if node.input else "", "Format/Datatype": _FORMATS[kind]}],
        "Outputs": [{"Name": out, "Format/Datatype": _FORMATS[kind]} for out in node.output],
        "ParameterType": "Convolution" if weighted else node.op_type,
        "TacticName": f"double_{kind.lower()}_{node.op_type.lower()}",
        "StreamId": 0,
        "Metadata": f"[ONNX Layer: {name}]",
    }


def _reformat(node, origin, before, after):
    return {
        "Name": f"Reformatting CopyNode for Input Tensor 0 to {node.name or node.output[0]}",
        "LayerType": "Reformat",
        "Inputs": [{"Name": origin, "Format/Datatype": _FORMATS[before]}],
        "Outputs": [
            {"Name": f"Reformatted Input Tensor 0 to {node.name}", "Format/Datatype": _FORMATS[after]}
        ],
        "ParameterType": "Reformat",
        "Origin": "REFORMAT",
        "TacticValue": "0x0",
        "StreamId": 0,
        "Metadata": "",
    }
