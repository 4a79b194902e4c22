"""Graph: an ONNX graph with its ends tied, so that one can walk it in both directions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from targets.errors import ModelError

_SHAPES = 1024  # elements; what holds a shape, an axis or an index has fewer


@dataclass(frozen=True)
class Edge:
    """One input of one node.

    Attributes:
        node: Its name.
        position: Which of its inputs.
    """

    node: str
    position: int


class Graph:
    """A read-only view of a model whose nodes have names; see `name_nodes`."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.nodes: list[onnx.NodeProto] = list(model.graph.node)
        self.named = {node.name: node for node in self.nodes}
        self.makers = {name: node for node in self.nodes for name in node.output if name}
        self.weights = {one.name: one for one in model.graph.initializer}
        self.sources = [one.name for one in model.graph.input if one.name not in self.weights]
        self.outputs = [one.name for one in model.graph.output]
        self.readers: dict[str, list[tuple[onnx.NodeProto, int]]] = {}
        for node in self.nodes:
            for position, name in enumerate(node.input):
                self.readers.setdefault(name, []).append((node, position))

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes by tensor, where all sides are known."""
        known: dict[str, tuple[int, ...]] = {}
        for info in self._infos():
            dims = info.type.tensor_type.shape.dim
            if all(dim.HasField("dim_value") for dim in dims):
                known[info.name] = tuple(dim.dim_value for dim in dims)
        return known

    def shape_of(self, name: str) -> tuple[int, ...]:
        """Give the shape of a tensor.

        Raises:
            ModelError: A side is not known.
        """
        if name not in self.shapes:
            raise ModelError(
                f"The shape of '{name}' is not known.", hint="Export the model with fixed shapes."
            )
        return self.shapes[name]

    @cached_property
    def floats(self) -> frozenset[str]:
        """Names of the FP32 tensors that are computed, or given."""
        kind = onnx.TensorProto.FLOAT
        return frozenset(one.name for one in self._infos() if one.type.tensor_type.elem_type == kind)

    @cached_property
    def _inferred(self) -> onnx.GraphProto:
        return onnx.shape_inference.infer_shapes(_without_weights(self.model)).graph

    def _infos(self) -> Iterator[onnx.ValueInfoProto]:
        yield from (*self._inferred.value_info, *self._inferred.output, *self._inferred.input)

    def constant(self, name: str) -> NDArray[Any] | None:
        """Give the values of an initializer, or of a Constant node; None for what is computed."""
        stored = self.weights.get(name)
        maker = self.makers.get(name)
        if stored is None and maker is not None and maker.op_type == "Constant":
            stored = attribute(maker, "value")
        values: NDArray[Any] | None = None if stored is None else numpy_helper.to_array(stored)
        return values

    def before(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Give the nodes that feed a node."""
        return [self.makers[name] for name in node.input if name in self.makers]

    def after(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Give the nodes that read what a node makes."""
        return [reader for name in node.output for reader, _ in self.readers.get(name, [])]


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give the model with its large initializers as inputs: the same shapes, and no copy of the weights."""
    light = onnx.ModelProto()
    light.ir_version = model.ir_version
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    for field in ("node", "input", "output", "value_info", "sparse_initializer"):
        getattr(light.graph, field).extend(getattr(model.graph, field))
    inputs = {one.name for one in model.graph.input}
    for one in model.graph.initializer:
        if math.prod(one.dims) <= _SHAPES:
            light.graph.initializer.append(one)
        elif one.name not in inputs:
            light.graph.input.append(helper.make_tensor_value_info(one.name, one.data_type, one.dims))
    return light


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """Give the value of an attribute."""
    for one in node.attribute:
        if one.name == name:
            return helper.get_attribute_value(one)
    return default


def name_nodes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give a name of its own to each node that has none, in place; placement goes by names."""
    given = {node.name for node in model.graph.node}
    numbers = count()
    taken = {""}
    for node in model.graph.node:
        if node.name in taken:
            names = (f"{node.op_type}_{number}" for number in numbers)
            node.name = next(name for name in names if name not in given)
        taken.add(node.name)
    return model
