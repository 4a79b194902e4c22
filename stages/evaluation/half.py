"""Half simulation: a typed FP16 graph in FP32 operators whose results are rounded as FP16 has them.

ONNX Runtime has hardly any FP16 kernels on x86. Where one is missing it computes in FP32, and then takes out
the casts between such nodes, those of the model included: nothing is rounded at all. Measured with 1.32: what
six FP16 operators gave was what FP32 gives, up to 49 away from the right 41,000. But a Cast to FP16 with one
back behind it, in a graph that is FP32 otherwise, stays, and rounds: to nearest, halves to even, from 65520
on to infinity.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from stages.onnx_files import graphs_of, nodes_of
from stages.tensor_types import tensor_types
from targets.errors import ModelError

# What they give is in FP16 if what they are given is.
_EXACT = {
    "Abs", "Clip", "Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements", "GatherND",
    "Identity", "Max", "MaxPool", "Min", "Neg", "ReduceMax", "ReduceMin", "Relu", "Reshape", "Slice",
    "SpaceToDepth", "Split", "Squeeze", "Tile", "TopK", "Transpose", "Unsqueeze", "Where",
}  # fmt: skip


def half_simulated(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give a new model that computes in FP32 what `model` computes in FP16, each operator's result rounded.

    That is an engine which multiplies in FP16 and sums in FP32; where it fuses operators, it rounds less
    often. What is FP32 in the model stays as it is, and so does a model without FP16. Inputs and outputs that
    are FP16 become FP32.

    Raises:
        ModelError: It holds BF16, a constant that is cut off, or FP16 within a body of `If`, `Loop` or `Scan`
            or in a local function.
    """
    types = tensor_types(model)
    _refuse(model, types)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    if TensorProto.FLOAT16 in types.values():
        _Rewrite(result, types).run()
    return result


def _refuse(model: onnx.ModelProto, types: Mapping[str, int]) -> None:
    if TensorProto.BFLOAT16 in types.values():
        raise ModelError("The model holds BF16, which is not simulated.", hint="Export it in FP32.")
    _, *bodies = graphs_of(model)
    ends = [one for body in bodies for one in (*body.input, *body.output)]
    nodes = [node for part in (*bodies, *model.functions) for node in part.node]
    inner = {one.type.tensor_type.elem_type for one in ends} | {
        kind for node in nodes for kind in _named(node)
    }
    if TensorProto.FLOAT16 in inner:
        raise ModelError(
            "The model holds FP16 within a body or a local function, which is not simulated.",
            hint="Export it in FP32, without control flow.",
        )


def _named(node: onnx.NodeProto) -> set[int]:
    """Give the types that a node names."""
    return {one.i if one.name == "to" else one.t.data_type for one in node.attribute}


class _Rewrite:
    """A model under way from FP16 to FP32."""

    def __init__(self, model: onnx.ModelProto, types: Mapping[str, int]) -> None:
        self._graph = model.graph
        self._half = {name for name, kind in types.items() if kind == TensorProto.FLOAT16}
        self._taken = set(_names(model))

    def run(self) -> None:
        """Replace constants and types, and round what comes out of each node."""
        for tensor in self._graph.initializer:
            if tensor.data_type == TensorProto.FLOAT16:
                tensor.CopyFrom(_widened(tensor))
        for info in (*self._graph.input, *self._graph.output):
            if info.name in self._half:
                info.type.tensor_type.elem_type = TensorProto.FLOAT
        nodes: list[onnx.NodeProto] = []
        for node in self._graph.node:
            copy = onnx.NodeProto.FromString(node.SerializeToString())
            nodes += [copy, *self._rounded(copy)]
        del self._graph.node[:]
        self._graph.node.extend(nodes)
        del self._graph.value_info[:]  # of the old types

    def _rounded(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """Make a node compute in FP32, and give the nodes that round what it makes."""
        for attribute in node.attribute:
            if attribute.t.data_type == TensorProto.FLOAT16:
                attribute.t.CopyFrom(_widened(attribute.t))
            if attribute.name == "to" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
        for place, name in enumerate(node.output):
            if name in self._half and node.op_type not in _EXACT:
                node.output[place] = self._unused(f"{name}_exact")
                between = self._unused(f"{name}_half")
                yield self._cast(node.output[place], between, TensorProto.FLOAT16)
                yield self._cast(between, name, TensorProto.FLOAT)

    def _cast(self, source: str, result: str, kind: int) -> onnx.NodeProto:
        return helper.make_node("Cast", [source], [result], self._unused(f"{result}_Cast"), to=kind)

    def _unused(self, wish: str) -> str:
        names = (wish if number == 0 else f"{wish}_{number}" for number in count())
        name = next(name for name in names if name not in self._taken)
        self._taken.add(name)
        return name


def _widened(tensor: onnx.TensorProto) -> onnx.TensorProto:
    try:
        values = numpy_helper.to_array(tensor)
    except ValueError as exc:  # fewer values than its shape has
        raise ModelError(f"Tensor '{tensor.name}' is cut off: {exc}", hint="Export the model again.") from exc
    return numpy_helper.from_array(values.astype(np.float32), tensor.name)


def _names(model: onnx.ModelProto) -> Iterator[str]:
    """Give every name in use, of tensors and of nodes."""
    for graph in graphs_of(model):
        yield from (one.name for one in (*graph.input, *graph.output, *graph.initializer))
    for node in nodes_of(model):
        yield from (node.name, *node.input, *node.output)
