"""Data types: what TensorRT computes with, and what it only takes at the border or narrows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from stages.check import Finding
from stages.check.complaints import name_of, op_of
from stages.check.view import View, input_of
from targets.operators import OperatorTable, Support, number

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

# onnx.TensorProto.DataType by number; TensorRT's names for what it has (NvInferRuntimeBase.h, DataType).
_NAMES = {1: "FP32", 2: "UINT8", 3: "INT8", 6: "INT32", 7: "INT64", 9: "BOOL", 10: "FP16", 16: "BF16"}
_NAMES |= {17: "FP8", 22: "INT4", 23: "FP4", 11: "FP64"}
_FOREIGN = {
    4: "UINT16",
    5: "INT16",
    8: "STRING",
    12: "UINT32",
    13: "UINT64",
    14: "COMPLEX64",
    15: "COMPLEX128",
}
# "limited support for INT32, INT64, and DOUBLE": cast down, clamped (onnx-tensorrt docs/operators.md).
_NARROWED = {"FP64": "FP32"}
_DATA_INPUT = {"Where": 1}
_BORDER = {"Cast", "QuantizeLinear", "DequantizeLinear"}
_DEPICTS_NO_DATA = {"Constant", "ConstantOfShape", "Shape", "Size", "Range", "If", "Loop", "Scan", "OneHot"}


def look_at_types(node: NodeProto, view: View, support: Support, table: OperatorTable) -> Iterator[Finding]:
    """Give what speaks against the type of the data that a node works on, where it is known."""
    if node.op_type in _DEPICTS_NO_DATA or view.foldable.issuperset(filter(None, node.output)):
        return  # TensorRT computes it while it builds
    name = input_of(node, _DATA_INPUT.get(node.op_type, 0))
    kind = view.types.get(name, 0)
    if kind in _FOREIGN:
        yield _finding(node, "error", f"TensorRT has no {_FOREIGN[kind]}, which {node.op_type} gets here.")
        return
    title = _NAMES.get(kind, "")
    if not title or not support.dtypes or node.op_type in _BORDER:
        return
    if _as_computed(title, table) not in support.dtypes:
        severity = "error" if title == "UINT8" else "warning"
        takes = (
            f"TensorRT {table.version} is documented to take {node.op_type} of {', '.join(support.dtypes)}"
        )
        yield _finding(node, severity, f"{takes}; here it gets {title}.")


def look_at_inputs_and_outputs(model: ModelProto, table: OperatorTable) -> Iterator[Finding]:
    """Give what becomes of INT64 and FP64 inputs and outputs, and of types that TensorRT lacks."""
    constants = {tensor.name for tensor in model.graph.initializer}
    sides = [("Input", one) for one in model.graph.input if one.name not in constants]
    for side, value in [*sides, *(("Output", one) for one in model.graph.output)]:
        kind = value.type.tensor_type.elem_type
        title = _NAMES.get(kind, "")
        becomes = _as_computed(title, table)
        if kind in _FOREIGN:
            reason = f"{side} '{value.name}' is {_FOREIGN[kind]}, which TensorRT lacks."
        elif title and becomes != title:
            reason = f"{side} '{value.name}' is {title}; with TensorRT {table.asked} it is {becomes}."
        else:
            continue
        remedy = (
            f"Export it as {becomes or 'FP32'}; `--fix` turns INT64 outputs into INT32 where that is safe."
        )
        yield Finding(
            node=value.name,
            op="",
            severity="error" if kind in _FOREIGN else "warning",
            reason=reason,
            remedy=remedy,
        )


def _as_computed(title: str, table: OperatorTable) -> str:
    if title == "INT64" and number(table.version) < (10, 0):
        return "INT32"
    return _NARROWED.get(title, title)


def _finding(node: NodeProto, severity: str, reason: str) -> Finding:
    return Finding(
        node=name_of(node),
        op=op_of(node),
        severity="error" if severity == "error" else "warning",
        reason=reason,
        remedy="Cast to FP32 before this layer.",
    )
