"""Views of a model's graphs: which values are constants, and what is known of types and shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import TYPE_CHECKING, Any

from stages.check.inference import SMALL, Inferred, Scope, Shape, elements
from stages.check.nested import Names, within
from stages.onnx_files import bodies_of

if TYPE_CHECKING:
    from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

Part = tuple["View", Sequence["NodeProto"]]


@dataclass(frozen=True, kw_only=True)
class View:
    """What is known of the values that the nodes of a graph, a body or a local function see.

    Attributes:
        constants: Initializers and outputs of `Constant`, by name.
        foldable: Values that constants and fixed shapes alone decide, constants among them.
        shapes: By name, those of bodies within it too; a side that is open is None.
        types: ONNX element types (`TensorProto.INT64`), by name, those of bodies within it too.
        opset: Of ai.onnx.
        called: It is that of a local function: its inputs are known to its callers only.
    """

    constants: Mapping[str, TensorProto] = field(default_factory=dict)
    foldable: Names | set[str] = field(default_factory=set)
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    types: Mapping[str, int] = field(default_factory=dict)
    opset: int = 0
    called: bool = False

    def values(self, name: str) -> list[Any] | None:
        """Give the values of a small constant, flat; None where it is none, or cannot be read."""
        from onnx import numpy_helper

        tensor = self.constants.get(name)
        if tensor is None or elements(tensor) > SMALL:
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


def views_of(model: ModelProto, inferred: Inferred) -> Iterator[Part]:
    """Give each part of a model that has names of its own: the graph, each body, each local function.

    Args:
        model: As `load_onnx` gives it.
        inferred: About it.

    Returns:
        What the nodes of the part see, and the nodes; the graph comes first.
    """
    opset = max((one.version for one in model.opset_import if one.domain in {"", "ai.onnx"}), default=0)
    inner = _agreed(inferred.scopes[1:])
    around = View(shapes=inner.shapes, types=inner.types, opset=opset)
    yield from _graph(model.graph, around, iter(inferred.scopes))
    for function in model.functions:
        around = View(opset=opset, called=True)
        yield from _nodes(function.node, around, {*function.input}, {}, repeat(Scope()))


def _agreed(scopes: Sequence[Scope]) -> Scope:
    """Give what is known of values in bodies; where two bodies differ about a name, nothing."""
    shapes: dict[str, set[Shape]] = {}
    types: dict[str, set[int]] = {}
    for scope in scopes:
        for name, shape in scope.shapes.items():
            shapes.setdefault(name, set()).add(shape)
        for name, kind in scope.types.items():
            types.setdefault(name, set()).add(kind)
    return Scope(
        shapes={name: found.pop() for name, found in shapes.items() if len(found) == 1},
        types={name: found.pop() for name, found in types.items() if len(found) == 1},
    )


def _graph(graph: GraphProto, around: View, scopes: Iterator[Scope]) -> Iterator[Part]:
    given = {value.name for value in graph.input}
    constants = {tensor.name: tensor for tensor in graph.initializer if tensor.name not in given}
    yield from _nodes(graph.node, around, given, constants, scopes)


def _nodes(
    nodes: Sequence[NodeProto],
    around: View,
    given: set[str],
    initializers: dict[str, TensorProto],
    scopes: Iterator[Scope],
) -> Iterator[Part]:
    """Give nodes, then those of the bodies within them, which see what is around; in order of `graphs_of`."""
    scope = next(scopes)
    constants = initializers | _constants(nodes)
    own = given.union(initializers, *(node.output for node in nodes))
    shapes = within(scope.shapes, own, around.shapes)
    view = View(
        constants=within(constants, own, around.constants),
        foldable=_foldable(nodes, set(constants), shapes, own, around.foldable),
        shapes=shapes,
        types=within(scope.types, own, around.types),
        opset=around.opset,
        called=around.called,
    )
    yield view, [*nodes]
    for node in nodes:
        for body in bodies_of(node):
            yield from _graph(body, view, scopes)


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


def _foldable(
    nodes: Any, constants: set[str], shapes: Mapping[str, Shape], own: set[str], around: Names | set[str]
) -> Names | set[str]:
    """Follow constants and fixed shapes through the graph; one pass, as nodes come in order."""
    found = Names(own=constants, hidden=own, around=around) if around else constants
    for node in nodes:
        inputs = [name for name in node.input if name]
        fixed = node.op_type in {"Shape", "Size"} and inputs and _is_fixed(shapes.get(inputs[0]))
        computed = bool(inputs) and found.issuperset(inputs) and not _has_body(node)
        if fixed or computed or node.op_type == "Constant":
            constants.update(node.output)
    return found


def _has_body(node: NodeProto) -> bool:
    return any(one.HasField("g") or one.graphs for one in node.attribute)


def _is_fixed(shape: Shape | None) -> bool:
    return shape is not None and None not in shape
