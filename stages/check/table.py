"""Comparing a model with an operator table, where the runtime itself is not here to be asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from stages.check import Finding
from stages.check.complaints import name_of, op_of
from stages.onnx_files import nodes_of
from targets.operators import OperatorTable

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

_REPLACE = "Replace the layer before export, or move it to post-processing."


def compare_with_table(model: ModelProto, table: OperatorTable) -> tuple[Finding, ...]:
    """Give an error for every operator set and node that TensorRT lacks, a warning for each restriction."""
    opset = max((one.version for one in model.opset_import if one.domain in {"", "ai.onnx"}), default=0)
    errors = [*_compare_opset(opset, table)]
    restricted: dict[str, list[NodeProto]] = {}
    functions = {(one.domain, one.name) for one in model.functions} if table.local_functions else set()
    for node in nodes_of(model):
        support = None if op_of(node) != node.op_type else table.operators.get(node.op_type)
        if (node.domain, node.op_type) in functions:
            continue  # its body is among the nodes
        if support is None or support.level == "none":
            errors.append(_missing(node, table))
        elif support.level == "restricted":
            restricted.setdefault(node.op_type, []).append(node)
    return (*errors, *(_restricted(nodes, table) for nodes in restricted.values()))


def _compare_opset(opset: int, table: OperatorTable) -> Iterator[Finding]:
    if opset > table.opset_max:
        yield Finding(
            node="",
            op="",
            severity="error",
            reason=f"The model is of opset {opset}; TensorRT {table.version} reads up to {table.opset_max}.",
            remedy="Export at opset 17, which every TensorRT from 8.5 on reads.",
        )


def _missing(node: NodeProto, table: OperatorTable) -> Finding:
    return Finding(
        node=name_of(node),
        op=op_of(node),
        severity="error",
        reason=f"TensorRT {table.version} has no importer for {op_of(node)}.",
        remedy=_REPLACE,
    )


def _restricted(nodes: list[NodeProto], table: OperatorTable) -> Finding:
    """Give one finding for all nodes of an operator; whether they keep to it is not looked at."""
    op = nodes[0].op_type
    return Finding(
        node=name_of(nodes[0]),
        op=op,
        severity="warning",
        reason=f"TensorRT {table.version} takes {op} ({len(nodes)} times here) with a restriction: "
        f"{table.operators[op].restriction}",
        remedy="See that the layer keeps to it.",
    )
