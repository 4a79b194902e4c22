"""What an ONNX file says of itself, read from its bytes: a board has no `onnx` package.

Only what decides how to build is read. Field numbers: onnx.proto3 of ONNX; they never change.
"""

from dataclasses import dataclass, field
from typing import Dict, Iterator, List, Mapping, Tuple, Union

from targets.errors import ModelError

_Value = Union[int, memoryview]
_QUANTIZING = ("QuantizeLinear", "DequantizeLinear")
_FLOAT16 = 10  # TensorProto.DataType
_EXTERNAL = 1  # TensorProto.DataLocation
_DEEPEST = 100  # messages within messages, as protobuf itself allows
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5  # wire types; groups do not occur in ONNX

# By kind of message: its fields that are messages, and their kind. A `body` is the graph of an If or Loop,
# `inner` a node within one or within a function: those have no number among the model's nodes.
_PARTS: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 11: "value", 12: "value", 13: "value", 15: "sparse"},
    "body": {1: "inner", 5: "tensor", 11: "value", 12: "value", 13: "value", 15: "sparse"},
    "function": {7: "inner", 11: "attribute"},
    "node": {5: "attribute"},
    "inner": {5: "attribute"},
    "attribute": {5: "tensor", 6: "body", 10: "tensor", 11: "body", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "value": {2: "type"},
    "type": {1: "tensor type"},
}


@dataclass(frozen=True)
class Look:
    """What matters of a model to who builds it.

    Attributes:
        nodes: Name and operator of each node of the graph, by its number, which a parser's error may name.
        int8: It has Q/DQ.
        fp16: Some of its tensors are FP16.
        external: Files in which it says that its weights are, each once.
    """

    nodes: Tuple[Tuple[str, str], ...]
    int8: bool
    fp16: bool
    external: Tuple[str, ...]


def look(model: bytes) -> Look:
    """Look at a model; of its weights nothing is read.

    Raises:
        ModelError: The bytes are no ONNX model.
    """
    found = _Found()
    try:
        _walk("model", memoryview(model), found, depth=0)
    except ValueError as exc:
        raise _no_model(str(exc)) from exc
    if not found.has_graph:
        raise _no_model("there is no graph in it")
    return Look(
        nodes=tuple(found.nodes),
        int8=found.int8,
        fp16=found.fp16,
        external=tuple(dict.fromkeys(found.external)),
    )


def _no_model(why: str) -> ModelError:
    return ModelError(f"This is no ONNX model: {why}.", hint="Export it again, or copy the kit again.")


@dataclass
class _Found:
    """What was seen so far."""

    has_graph: bool = False
    nodes: List[Tuple[str, str]] = field(default_factory=list)
    int8: bool = False
    fp16: bool = False
    external: List[str] = field(default_factory=list)


def _walk(kind: str, message: memoryview, found: _Found, *, depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError("its graphs are nested too deeply")
    parts = _PARTS.get(kind, {})
    own: Dict[int, _Value] = {}
    for number, value in _fields(message):
        if number in parts and isinstance(value, memoryview):
            _walk(parts[number], value, found, depth=depth + 1)
        elif kind == "tensor" and number == 13 and isinstance(value, memoryview):
            found.external.extend(_location(value))
        else:
            own[number] = value
    _judge(kind, own, found)


def _judge(kind: str, own: Mapping[int, _Value], found: _Found) -> None:
    """Take up what a message says itself."""
    if kind == "graph":
        found.has_graph = True
    elif kind in ("node", "inner"):
        operator = _text(own.get(4))
        found.int8 = found.int8 or operator in _QUANTIZING
        if kind == "node":
            found.nodes.append((_text(own.get(3)), operator))
    elif kind == "attribute":  # of Cast
        found.fp16 = found.fp16 or (_text(own.get(1)) == "to" and own.get(3) == _FLOAT16)
    elif kind == "tensor":
        found.fp16 = found.fp16 or own.get(2) == _FLOAT16
        if own.get(14) == _EXTERNAL and not found.external:
            found.external.append("")  # a place that it does not name
    elif kind == "tensor type":
        found.fp16 = found.fp16 or own.get(1) == _FLOAT16


def _location(entry: memoryview) -> Iterator[str]:
    """Give the file of an entry of `external_data`, if it is about that."""
    own = dict(_fields(entry))
    if _text(own.get(1)) == "location":
        yield _text(own.get(2))


def _text(value: "_Value | None") -> str:
    return bytes(value).decode("utf-8", "replace") if isinstance(value, memoryview) else ""


def _fields(message: memoryview) -> Iterator[Tuple[int, _Value]]:
    """Give the fields of a message, number and value, in order.

    Raises:
        ValueError: It is cut short, or no protobuf.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire == _LENGTH:
            size, at = _varint(message, at)
        elif wire in (_EIGHT_BYTES, _FOUR_BYTES):
            size = 8 if wire == _EIGHT_BYTES else 4
        else:
            raise ValueError("it is no protobuf")
        if number == 0 or size > len(message) - at:
            raise ValueError("it is cut short, or no protobuf")
        yield number, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> Tuple[int, int]:
    """Give a number, seven bits a byte, and where it ends."""
    number = 0
    for place in range(10):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        number |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return number, at
    raise ValueError("it is cut short, or no protobuf")
