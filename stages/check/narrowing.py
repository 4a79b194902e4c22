"""Narrowing: what TensorRT's parser makes smaller without being asked: FP64, and before 10.0 INT64."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from stages.check import Finding
from stages.check.complaints import name_of, op_of
from stages.check.view import View, attributes_of
from targets.operators import OperatorTable, number

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

_INT64, _FP64 = 7, 11  # TensorProto.DataType
# "attempt to cast down INT64 to INT32 and DOUBLE down to FLOAT, clamping values to +-INT_MAX or +-FLT_MAX if
# necessary" (onnx-tensorrt docs/operators.md of 8.5; INT64 is a type of its own from 10.0 on).
_LIMITS = {
    _INT64: ("INT64", "INT32", -(2**31), 2**31 - 1),
    _FP64: ("FP64", "FP32", float(np.finfo(np.float32).min), float(np.finfo(np.float32).max)),
}
_ENDS = slice(
    1, 3
)  # of Slice, starts and ends: no side is so long that a clamped one would not reach its end


def look_at_narrowing(nodes: Sequence[NodeProto], view: View, table: OperatorTable) -> Iterator[Finding]:
    """Give a warning for each node that reads a constant which is clamped, and one an operator for FP64."""
    narrowed = {_FP64} if number(table.version) >= (10, 0) else {_FP64, _INT64}
    double: dict[str, list[NodeProto]] = {}
    for node in nodes:
        for name, tensor in _constants_of(node, view):
            if tensor.data_type in narrowed:
                yield from _look_at_constant(node, name, tensor, table)
        support = table.operators.get(node.op_type)
        if support and support.level != "none" and _is_double(node, view):
            double.setdefault(op_of(node), []).append(node)
    for op, same in double.items():
        times = f"in {len(same)} nodes" if len(same) > 1 else "in one node"
        reason = f"TensorRT {table.version} computes {op} in FP32; here it is in FP64, {times}."
        yield _finding(same[0], reason, "Export the model in FP32, and see that it answers the same.")


def _constants_of(node: NodeProto, view: View) -> Iterator[tuple[str, TensorProto]]:
    """Give the constants that a node reads, and the one that it fills a shape with."""
    ends = {*node.input[_ENDS]} if node.op_type == "Slice" else set()
    for name in dict.fromkeys(node.input):
        if name in view.constants and name not in ends:
            yield name, view.constants[name]
    if node.op_type == "ConstantOfShape" and "value" in attributes_of(node):
        yield "value", attributes_of(node)["value"].t


def _look_at_constant(
    node: NodeProto, name: str, tensor: TensorProto, table: OperatorTable
) -> Iterator[Finding]:
    title, becomes, low, high = _LIMITS[tensor.data_type]
    for value in _beyond(tensor, low, high):
        clamped = high if value > high else low
        reason = (
            f"{op_of(node)} reads constant '{name}', which is {title}; TensorRT {table.version} makes it "
            f"{becomes}, and clamps {value} to {clamped}."
        )
        yield _finding(node, reason, f"Use a constant within the range of {becomes}.")


def _beyond(tensor: TensorProto, low: float, high: float) -> list[int | float]:
    """Give the value that is farthest beyond a range, in a list; nothing if none is, or it cannot be read."""
    from onnx import numpy_helper

    try:
        values = numpy_helper.to_array(tensor)
    except (ValueError, TypeError):  # its data do not fit its shape or type
        return []
    finite = values[np.isfinite(values)]
    ends: list[int | float] = [] if finite.size == 0 else [finite.max().item(), finite.min().item()]
    return [one for one in ends if one > high or one < low][:1]


def _is_double(node: NodeProto, view: View) -> bool:
    """Say whether TensorRT would have to compute a node in FP64, were it to do so at all."""
    if node.op_type == "Constant" or view.foldable.issuperset(filter(None, node.output)):
        return False  # it is computed while the engine is built
    to = attributes_of(node).get("to") if node.op_type == "Cast" else None
    if to is not None and to.i == _FP64:
        return True
    constant = any(name in view.constants and view.constants[name].data_type == _FP64 for name in node.input)
    return constant or any(view.types.get(name) == _FP64 for name in (*node.input, *node.output))


def _finding(node: NodeProto, reason: str, remedy: str) -> Finding:
    return Finding(node=name_of(node), op=op_of(node), severity="warning", reason=reason, remedy=remedy)
