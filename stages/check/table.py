"""Comparing a model with an operator table, where the runtime itself is not here to be asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from stages.check import Finding
from stages.check.complaints import name_of, op_of
from stages.check.data_types import look_at_inputs_and_outputs, look_at_types
from stages.check.narrowing import look_at_narrowing
from stages.check.remedies import advise, advise_opset
from stages.check.restrictions import judge
from stages.check.view import View
from targets.operators import OperatorTable
from targets.operators.releases import faults_of, find_plugin, is_data_dependent, plugin_versions
from targets.profile import TargetProfile

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

Parts = Sequence[tuple[View, Sequence["NodeProto"]]]


def compare_with_table(
    model: ModelProto, table: OperatorTable, profile: TargetProfile, *, parts: Parts
) -> tuple[Finding, ...]:
    """Give what TensorRT has against a model, errors first.

    Args:
        model: To be looked at.
        table: Of the TensorRT version.
        profile: Of the target.
        parts: Of the model, as `views_of` gives them.

    Returns:
        Errors, and warnings where the file alone does not tell; nothing about restrictions that are kept.
    """
    functions = {(one.domain, one.name) for one in model.functions} if table.local_functions else set()
    found = [*_compare_opset(parts[0][0].opset, table)]
    for view, nodes in parts:
        for node in nodes:
            if (node.domain, node.op_type) not in functions:  # its body is a part of its own
                found += _look_at(node, view, table, profile)
        found += _gathered(nodes, view, table)
        found += look_at_narrowing(nodes, view, table)
    found += look_at_inputs_and_outputs(model, table)
    found += _look_at_release([node for _, nodes in parts for node in nodes], table, profile)
    return tuple(sorted(found, key=lambda one: one.severity))  # "error" comes before "warning"


def _compare_opset(opset: int, table: OperatorTable) -> Iterator[Finding]:
    newer = table.newer.opset_max if table.newer else table.opset_max
    reads = f"TensorRT {table.version} reads up to {table.opset_max}"
    if opset > newer:
        yield _finding(None, "error", f"The model is of opset {opset}; {reads}.", advise_opset())
    elif opset > table.opset_max and table.newer:
        known = f"{reads}, {table.newer.version} up to {newer}; of {table.asked} we do not know."
        yield _finding(None, "warning", f"The model is of opset {opset}; {known}", advise_opset())
    elif 0 < opset < table.opset_min:
        reason = (
            f"The model is of opset {opset}; TensorRT {table.version} is documented for {table.opset_min} on."
        )
        yield _finding(None, "warning", reason, "`--fix` raises the opset.")


def _look_at(node: NodeProto, view: View, table: OperatorTable, profile: TargetProfile) -> Iterator[Finding]:
    support = None if op_of(node) != node.op_type else table.operators.get(node.op_type)
    if support is None or support.level == "none":
        yield _missing(node, table, profile)
        return
    if support.restriction:
        verdict, words = judge(node, view, support.restriction)
        if verdict == "broken":
            reason = f"TensorRT {table.version} takes {node.op_type} but for this: {words}."
            yield _finding(node, "error", reason, advise(node, profile, words=words))
    yield from look_at_types(node, view, support, table)


def _missing(node: NodeProto, table: OperatorTable, profile: TargetProfile) -> Finding:
    remark = find_plugin(node.op_type, table.asked)
    if remark is not None:
        reason = f"{node.op_type} is a plugin that TensorRT {table.asked} brings" + (
            f"; {remark}." if remark else "."
        )
        remedy = "No alternative is named for it; export without NMS, and let post-processing do it."
        return _finding(node, "warning", reason, remedy)
    if spans := plugin_versions(node.op_type):
        reason = f"{node.op_type} is a plugin of TensorRT {spans}; {table.asked} does not bring it."
        return _finding(node, "error", reason, "Export without NMS, and let post-processing do it.")
    newer = table.newer.operators.get(node.op_type) if table.newer else None
    if table.newer and newer and newer.level != "none" and op_of(node) == node.op_type:
        reason = f"TensorRT {table.version} has no importer for {op_of(node)}, {table.newer.version} has one"
        reason = f"{reason}; of {table.asked} we do not know."
        return _finding(node, "warning", reason, advise(node, profile))
    reason = f"TensorRT {table.version} has no importer for {op_of(node)}."
    return _finding(node, "error", reason, advise(node, profile))


def _gathered(nodes: Sequence[NodeProto], view: View, table: OperatorTable) -> Iterator[Finding]:
    """Give one warning for all nodes of an operator that leave the same open."""
    unsure: dict[tuple[str, str], list[NodeProto]] = {}
    for node in nodes:
        support = table.operators.get(node.op_type) if op_of(node) == node.op_type else None
        verdict, words = (
            judge(node, view, support.restriction) if support and support.restriction else ("kept", "")
        )
        if verdict == "open":
            unsure.setdefault((node.op_type, words), []).append(node)
        elif is_data_dependent(node.op_type) and support and support.level != "none":
            unsure.setdefault((node.op_type, ""), []).append(node)
    for (op, words), same in unsure.items():
        times = f"{op} ({len(same)} times here)"
        if words:
            reason = f"TensorRT {table.version} takes {times} with a restriction: {words}"
            yield _finding(
                same[0], "warning", reason, "See that the layer keeps to it; `--fix` folds constants."
            )
        else:
            reason = f"The size of the output of {times} depends on the data: it needs an output allocator."
            yield _finding(same[0], "warning", reason, "Export without it, and let post-processing do it.")


def _look_at_release(
    nodes: Sequence[NodeProto], table: OperatorTable, profile: TargetProfile
) -> Iterator[Finding]:
    for fault in faults_of(table.asked, profile.jetpack, profile.sm):
        meets = [node for node in nodes if fault.op == node.op_type] if fault.op else list(nodes)
        if meets and (not fault.int8 or "int8" in profile.precisions):
            node = meets[0] if fault.op else None
            reason = f"TensorRT {table.asked} {fault.fault} ({fault.source})."
            yield _finding(node, "warning", reason, fault.remedy)


def _finding(node: NodeProto | None, severity: str, reason: str, remedy: str) -> Finding:
    return Finding(
        node=name_of(node) if node else "",
        op=op_of(node) if node else "",
        severity="error" if severity == "error" else "warning",
        reason=reason,
        remedy=remedy,
    )
