"""A view of a graph: which values are constants, and what is known of types and shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stages.onnx_files import graphs_of

if TYPE_CHECKING:
    from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

Shape = tuple["int | None", ...]
_SMALL = 1024  # elements; no shape, axis or count has more


@dataclass(frozen=True, kw_only=True)
class View:
    """What is known of the values of a graph and of the graphs within it, or of a local function.

    Attributes:
        constants: Initializers and outputs of `Constant`, by name.
        foldable: Values that constants and fixed shapes alone decide, constants among them.
        shapes: By name; a side that is open is None.
        types: ONNX element types (`TensorProto.INT64`), by name.
        opset: Of ai.onnx.
    """

    constants: Mapping[str, TensorProto] = field(default_factory=dict)
    foldable: frozenset[str] = frozenset()
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    types: Mapping[str, int] = field(default_factory=dict)
    opset: int = 0

    def values(self, name: str) -> list[Any] | None:
        """Give the values of a small constant, flat; None where it is none, or cannot be read."""
        from onnx import numpy_helper

        tensor = self.constants.get(name)
        if tensor is None or _elements(tensor) > _SMALL:
            return None
        try:
            listed: list[Any] = numpy_helper.to_array(tensor).reshape(-1).tolist()
        except (ValueError, TypeError):  # its data do not fit its shape or type
            return None
        return listed

    def rank(self, name: str) -> int | None:
        """Give how many sides a value has, if that is known."""
        shape = self.shapes.get(name)
        return None if shape is None else len(shape)


def views_of(model: ModelProto) -> Iterator[tuple[View, list[NodeProto]]]:
    """Give each part of a model that has names of its own, with its nodes: the graph, each local function."""
    graphs = list(graphs_of(model))
    nodes = [node for graph in graphs for node in graph.node]
    given = {value.name for graph in graphs for value in graph.input}
    tensors = {one.name: one for graph in graphs for one in graph.initializer if one.name not in given}
    constants = tensors | _constants(nodes)
    shapes, types = _infer(model)
    opset = max((one.version for one in model.opset_import if one.domain in {"", "ai.onnx"}), default=0)
    foldable = _foldable(nodes, set(constants), shapes)
    yield View(constants=constants, foldable=foldable, shapes=shapes, types=types, opset=opset), nodes
    for function in model.functions:
        own = _constants(function.node)
        yield (
            View(constants=own, foldable=_foldable(function.node, set(own), {}), opset=opset),
            [*function.node],
        )


def attributes_of(node: NodeProto) -> dict[str, AttributeProto]:
    """Give a node's attributes by name."""
    return {one.name: one for one in node.attribute}


def input_of(node: NodeProto, index: int) -> str:
    """Give the name of an input, "" where it is left out."""
    return node.input[index] if index < len(node.input) else ""


def _constants(nodes: Any) -> dict[str, TensorProto]:
    from onnx import helper

    found: dict[str, TensorProto] = {}
    for node in nodes:
        if node.op_type != "Constant" or len(node.output) != 1:
            continue
        for one in node.attribute:
            if one.name == "value" and one.HasField("t"):
                found[node.output[0]] = one.t
            elif one.name in {"value_int", "value_ints"}:
                values = [one.i] if one.name == "value_int" else [*one.ints]
                shape = [] if one.name == "value_int" else [len(values)]
                found[node.output[0]] = helper.make_tensor(node.output[0], 7, shape, values)
    return found


def _foldable(nodes: Any, constants: set[str], shapes: Mapping[str, Shape]) -> frozenset[str]:
    """Follow constants and fixed shapes through the graph; one pass, as nodes come in order."""
    found = set(constants)
    for node in nodes:
        inputs = [name for name in node.input if name]
        fixed = node.op_type in {"Shape", "Size"} and inputs and _is_fixed(shapes.get(inputs[0]))
        computed = bool(inputs) and found.issuperset(inputs) and not _has_body(node)
        if fixed or computed or node.op_type == "Constant":
            found.update(node.output)
    return frozenset(found)


def _has_body(node: NodeProto) -> bool:
    return any(one.HasField("g") or one.graphs for one in node.attribute)


def _is_fixed(shape: Shape | None) -> bool:
    return shape is not None and None not in shape


def _elements(tensor: TensorProto) -> int:
    count = 1
    for side in tensor.dims:
        count *= max(side, 0)
    return count


# ----------------------------------------------------------------------------------- types and shapes
def _infer(model: ModelProto) -> tuple[dict[str, Shape], dict[str, int]]:
    """Infer types and shapes, of a copy without weights; where that fails, what the file says stands."""
    from onnx import checker, shape_inference

    skeleton = _skeleton(model)
    try:
        if any(one.domain == "ai.onnx.ml" for one in skeleton.opset_import):
            checker.check_model(skeleton)  # onnx 1.23 crashes where an input of these operators has no type
        inferred = shape_inference.infer_shapes(skeleton)
    except (
        checker.ValidationError,
        shape_inference.InferenceError,
        RuntimeError,
        ValueError,
        IndexError,
        TypeError,
    ):
        inferred = skeleton
    shapes: dict[str, Shape] = {}
    types: dict[str, int] = {}
    for graph in graphs_of(inferred):
        for value in (*graph.value_info, *graph.output, *graph.input):
            _note(value, shapes, types)
    for graph in graphs_of(model):
        for tensor in graph.initializer:
            shapes[tensor.name], types[tensor.name] = tuple(tensor.dims), tensor.data_type
    return shapes, types


def _note(value: ValueInfoProto, shapes: dict[str, Shape], types: dict[str, int]) -> None:
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not isinstance(value.name, str):
        return
    types[value.name] = tensor.elem_type
    if tensor.HasField("shape"):
        shapes[value.name] = tuple(
            side.dim_value if side.HasField("dim_value") else None for side in tensor.shape.dim
        )


def _skeleton(model: ModelProto) -> ModelProto:
    """Copy all but the large tensors, of which type and shape stay, as inputs."""
    from onnx import ModelProto as Model
    from onnx import helper

    copy = Model(ir_version=max(model.ir_version, 4))
    copy.opset_import.extend(model.opset_import)
    copy.functions.extend(model.functions)
    graph = model.graph
    copy.graph.name = graph.name
    for field_name in ("node", "input", "output", "value_info"):
        getattr(copy.graph, field_name).extend(getattr(graph, field_name))
    given = {value.name for value in graph.input}
    for tensor in graph.initializer:
        if _elements(tensor) <= _SMALL:
            copy.graph.initializer.append(tensor)
        elif tensor.name not in given:
            copy.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return copy
