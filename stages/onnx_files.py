"""Reading ONNX files that nobody vouches for: all of a model, and nothing but the model."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from targets.errors import ModelError

if TYPE_CHECKING:
    from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto

MAX_BYTES = 2**31 - 1  # a protobuf message cannot be larger

_NOT_ONNX = "Give an ONNX file as an exporter wrote it; a download may have been cut off."
_EXTERNAL = "Keep external data in files beside the model, or save the model as one file."
_KeyT = TypeVar("_KeyT", bound=Hashable)


def load_onnx(path: Path) -> ModelProto:
    """Read a model with its external data, which may lie in the model's own folder only.

    Whatever the file says, no other file is opened. The result refers to no file any more.

    Raises:
        ModelError: It cannot be read, is no ONNX model, goes in circles, or refers to data that are
            not in its folder, not there, or too large.
    """
    model = _parse(path)
    if not model.HasField("graph"):
        raise ModelError(f"{path} holds no graph.", hint=_NOT_ONNX)
    for name in _names(model):
        if isinstance(name, bytes):  # protobuf's way to give what is no UTF-8
            raise ModelError(f"{path} holds a name that is no text: {name!r}", hint=_NOT_ONNX)
    _refuse_circles(path, model)
    _embed(path, model)
    return model


def nodes_of(model: ModelProto) -> Iterator[NodeProto]:
    """Give every node: of the graph, of the bodies of `If`, `Loop` and `Scan`, and of local functions."""
    for graph in graphs_of(model):
        yield from graph.node
    for function in model.functions:
        yield from _nodes_within(function)


def graphs_of(model: ModelProto) -> Iterator[GraphProto]:
    """Give the graph and all graphs within it; those of training come last."""
    yield from _graphs_within(model.graph)
    for training in model.training_info:
        yield from _graphs_within(training.initialization)
        yield from _graphs_within(training.algorithm)


def _parse(path: Path) -> ModelProto:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from onnx import ModelProto

    try:
        if not path.is_file():
            raise ModelError(f"{path} is no file.", hint="Give the path of an ONNX file.")
        if path.stat().st_size > MAX_BYTES:
            raise ModelError(f"{path} is larger than 2 GiB.", hint="No ONNX file can be.")
        return ModelProto.FromString(path.read_bytes())
    except OSError as exc:
        raise ModelError(f"{path} cannot be read: {exc.strerror}.", hint="Check the file.") from exc
    except DecodeError as exc:
        raise ModelError(f"{path} is no ONNX file, or a broken one: {exc}.", hint=_NOT_ONNX) from exc


def _names(model: ModelProto) -> Iterator[str | bytes]:
    """Give every name that we read."""
    for graph in graphs_of(model):
        yield graph.name
        for named in (*graph.input, *graph.output, *graph.initializer):
            yield named.name
    for node in nodes_of(model):
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
    for function in model.functions:
        yield from (function.name, function.domain)
    for tensor in _tensors(model):
        yield tensor.name
        for entry in tensor.external_data:
            yield from (entry.key, entry.value)
    yield from (one.domain for one in model.opset_import)


def _graphs_within(graph: GraphProto) -> Iterator[GraphProto]:
    yield graph
    for node in graph.node:
        for body in bodies_of(node):
            yield from _graphs_within(body)


def bodies_of(node: NodeProto) -> Iterator[GraphProto]:
    """Give the graphs that are attributes of a node."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _nodes_within(function: FunctionProto) -> Iterator[NodeProto]:
    yield from function.node
    for node in function.node:
        for body in bodies_of(node):
            for graph in _graphs_within(body):
                yield from graph.node


# ------------------------------------------------------------------------------------------ external data
def _embed(path: Path, model: ModelProto) -> None:
    """Read every external tensor into the model."""
    from onnx import TensorProto

    room = MAX_BYTES - path.stat().st_size  # protobuf would have to serialize the model to tell its size
    for tensor in _tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            tensor.raw_data = _read_external(path, tensor, room)
            tensor.ClearField("data_location")
            tensor.ClearField("external_data")
            room -= len(tensor.raw_data)


def _tensors(model: ModelProto) -> Iterator[TensorProto]:
    for graph in graphs_of(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in nodes_of(model):
        for attribute in node.attribute:
            yield from _tensors_in(attribute)
    for function in model.functions:
        for attribute in function.attribute_proto:
            yield from _tensors_in(attribute)


def _tensors_in(attribute: AttributeProto) -> Iterator[TensorProto]:
    yield from ([attribute.t] if attribute.HasField("t") else [])
    yield from attribute.tensors
    sparse_tensors = [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
    for sparse in (*sparse_tensors, *attribute.sparse_tensors):
        yield from (sparse.values, sparse.indices)


def _read_external(path: Path, tensor: TensorProto, room: int) -> bytes:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    told = f"Tensor '{tensor.name}' of {path} keeps its data in '{entries.get('location', '')}'"
    file = _find_external(path.parent, entries.get("location", ""), told)
    try:
        size = file.stat().st_size
        offset = int(entries.get("offset") or 0)
        length = int(entries.get("length") or size - offset)
        if offset < 0 or length < 0 or offset + length > size:
            raise ModelError(f"{told}, bytes {offset} to {offset + length} of {size}.", hint=_EXTERNAL)
        if length > room:
            raise ModelError(
                f"{told}; with them the model is larger than 2 GiB.", hint="Use a smaller model."
            )
        with file.open("rb") as stream:
            stream.seek(offset)
            return stream.read(length)
    except (OSError, ValueError) as exc:
        raise ModelError(f"{told}, which cannot be read: {exc}", hint=_EXTERNAL) from exc


def _find_external(folder: Path, location: str, told: str) -> Path:
    """Give the file, once it is sure to be a regular one below `folder`, whatever links lead there."""
    try:
        file = (folder / location).resolve()
        outside = not file.is_relative_to(folder.resolve()) or ".." in Path(location).parts
        if outside or Path(location).is_absolute():
            raise ModelError(f"{told}, outside the model's folder.", hint=_EXTERNAL)
        if not file.is_file():
            raise ModelError(f"{told}, which is no file.", hint=_EXTERNAL)
    except (OSError, ValueError, RuntimeError) as exc:  # a loop of links, a name too long, a NUL
        raise ModelError(f"{told}, which cannot be followed: {exc}", hint=_EXTERNAL) from exc
    return file


# ------------------------------------------------------------------------------------------------ circles
def _refuse_circles(path: Path, model: ModelProto) -> None:
    """See that no value depends on itself, and no function calls itself."""
    for nodes in (*(graph.node for graph in graphs_of(model)), *(one.node for one in model.functions)):
        _refuse_circle(path, list(nodes))
    calls = {
        (one.domain, one.name): {(node.domain, node.op_type) for node in _nodes_within(one)}
        for one in model.functions
    }
    circle = _find_circle(calls)
    if circle:
        raise ModelError(f"{path}: local function '{circle[0][1]}' calls itself.", hint=_NOT_ONNX)


def _refuse_circle(path: Path, nodes: list[NodeProto]) -> None:
    maker = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    needs = {
        index: {maker[name] for name in _reads(node) if name in maker} for index, node in enumerate(nodes)
    }
    circle = [nodes[index] for index in _find_circle(needs)]
    if circle:
        names = ", ".join(f"'{node.name}' ({node.op_type})" for node in circle[:3])
        raise ModelError(f"{path}: {names} need their own outputs, in a circle.", hint=_NOT_ONNX)


def _reads(node: NodeProto) -> set[str]:
    """Give the names of the values that a node needs; its bodies may read those around them."""
    return set(node.input).union(*map(_captured, bodies_of(node)))


def _captured(graph: GraphProto) -> set[str]:
    own = {value.name for value in (*graph.input, *graph.initializer)}
    own.update(name for node in graph.node for name in node.output)
    read = {value.name for value in graph.output}.union(*map(_reads, graph.node))
    return read - own


def _find_circle(needs: Mapping[_KeyT, Iterable[_KeyT]]) -> list[_KeyT]:
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as exc:
        circle: list[_KeyT] = exc.args[1][1:]  # the first and the last are the same
        return circle
    return []
