"""Slots: which inputs and outputs of an operator can be FP16 where they are FP32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import TensorProto, defs

_HALF = "tensor(float16)"
# Attributes that fix the type of an output, whatever the inputs are.
_TYPING_ATTRIBUTES = {"dtype", "output_datatype"}
_COORDINATES = {"Resize": 1}  # inputs that are no values: the region of interest


@dataclass(frozen=True)
class Slots:
    """Positions of a node's inputs and outputs that are FP32 and could be FP16."""

    inputs: frozenset[int] = frozenset()
    outputs: frozenset[int] = frozenset()


def find_slots(node: onnx.NodeProto, types: Mapping[str, int], opset: int) -> Slots:
    """Find them by the operator's definition in ONNX; none where it is not ONNX's, or has bodies.

    Args:
        node: Of the graph.
        types: Element types by tensor; see `tensor_types`.
        opset: Of the model.
    """
    schema = _schema(node, opset)
    names = [name for name in (*node.input, *node.output) if name]
    if schema is None or _fixes_types(node) or any(name not in types for name in names):
        return Slots()
    slots = Slots(
        inputs=_able(node.input, schema, schema.inputs, types) - {_COORDINATES.get(node.op_type)},
        outputs=_able(node.output, schema, schema.outputs, types),
    )
    made_of_nothing = slots.outputs and not slots.inputs
    return Slots() if made_of_nothing and node.op_type not in {"Cast", "ConstantOfShape"} else slots


def _schema(node: onnx.NodeProto, opset: int) -> Any:
    if node.domain not in {"", "ai.onnx"}:
        return None
    try:
        return defs.get_schema(node.op_type, opset, "")
    except defs.SchemaError:
        return None


def _fixes_types(node: onnx.NodeProto) -> bool:
    """Say whether the node has bodies, whose types are their own, or names the type that it makes."""
    return any(one.name in _TYPING_ATTRIBUTES or one.HasField("g") or one.graphs for one in node.attribute)


def _able(
    names: Sequence[str], schema: Any, formals: Sequence[Any], types: Mapping[str, int]
) -> frozenset[int]:
    allowed = {one.type_param_str: one.allowed_type_strs for one in schema.type_constraints}
    able = set()
    for position, name in enumerate(names):
        formal = formals[min(position, len(formals) - 1)]  # the last may stand for many
        if types.get(name) == TensorProto.FLOAT and _HALF in allowed.get(formal.type_str, ()):
            able.add(position)
    return frozenset(able)
