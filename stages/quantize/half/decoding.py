"""Decoding: the end of a detector, where the last weighted nodes' outputs become boxes and scores."""

from __future__ import annotations

from collections.abc import Collection

import onnx
from onnx import helper

from stages.quantize.graph import Graph
from stages.quantize.placement.head import find_head


def decoding_of(model: onnx.ModelProto) -> frozenset[str]:
    """Give the names of what follows the last weighted nodes of the head; nothing where there is no head.

    Args:
        model: With Q/DQ or without; its nodes have names.
    """
    graph = Graph(model)
    for node in graph.nodes:
        if node.op_type == "DequantizeLinear" and node.input[0] in graph.weights:
            graph.weights[node.output[0]] = graph.weights[node.input[0]]
    decoding = find_head(graph).decoding
    pictures = {one.name for one in model.graph.input} - graph.weights.keys()
    reached = any(pictures.intersection(graph.named[name].input) for name in decoding)
    return frozenset() if reached else decoding


def extract(model: onnx.ModelProto, names: Collection[str]) -> onnx.ModelProto:
    """Give the named nodes as a model of their own.

    Its inputs are the tensors that they read of others, its outputs those of the model that they make.
    """
    graph = Graph(model)
    inferred = onnx.shape_inference.infer_shapes(model).graph
    infos = {one.name: one for one in (*inferred.input, *inferred.value_info)}
    nodes = [node for node in graph.nodes if node.name in names]
    made = {name for node in nodes for name in node.output}
    read = dict.fromkeys(name for node in nodes for name in node.input if name)
    result = helper.make_model(
        helper.make_graph(
            nodes,
            "decoding",
            [infos[name] for name in read if name not in made | graph.weights.keys()],
            [one for one in model.graph.output if one.name in made],
            [graph.weights[name] for name in read if name in graph.weights],
        ),
        opset_imports=model.opset_import,
    )
    result.ir_version = model.ir_version
    return result


def picture_input(model: onnx.ModelProto) -> str:
    """Give the name of the input that is a picture: the first that is not stored in the model."""
    stored = {one.name for one in model.graph.initializer}
    return str(next(one.name for one in model.graph.input if one.name not in stored))
