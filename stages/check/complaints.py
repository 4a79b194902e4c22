"""Complaints: what a runtime says against a model, as findings at its nodes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from stages.check import Finding
from stages.onnx_files import nodes_of

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

CpuRuntime = Literal["openvino", "onnxruntime"]

_REPLACE = "Replace the layer before export, or move it to post-processing."
_CHANGE = "Use another type, attribute or operator set version for this layer, or replace it before export."
_REPAIR = "Export the model again; it contradicts itself, or is of a kind that this runtime does not know."
_TITLES = {"openvino": "OpenVINO", "onnxruntime": "ONNX Runtime"}


def read_complaint(complaint: str, model: ModelProto, runtime: CpuRuntime) -> tuple[Finding, ...]:
    """Give a finding for each node that the runtime complains about.

    Args:
        complaint: In the runtime's words; "" means none.
        model: That it is about.
        runtime: That complains.
    """
    if not complaint:
        return ()
    reader = {"openvino": _read_openvino, "onnxruntime": _read_onnxruntime}[runtime]
    found = tuple(dict.fromkeys(reader(complaint, list(nodes_of(model)))))
    return found or (_finding("", "", f"{_TITLES[runtime]}: {_gist(complaint)}", _REPAIR),)


def op_of(node: NodeProto) -> str:
    """Give the operator, with its domain unless that is ai.onnx."""
    return node.op_type if node.domain in {"", "ai.onnx"} else f"{node.domain}::{node.op_type}"


def name_of(node: NodeProto) -> str:
    """Give the node's name, or that of its first output."""
    return node.name or next(iter(node.output), "")


def _finding(node: str, op: str, reason: str, remedy: str) -> Finding:
    return Finding(node=node, op=op, severity="error", reason=reason, remedy=remedy)


# --------------------------------------------------------------------------------------------- OpenVINO
_NO_RULE = re.compile(r"No conversion rule found for operations: (.*)")
_FAILED = re.compile(r"^-- (\S+)-\d+ with a message:\n(.*?)(?=^-- |\Z|^Summary:)", re.MULTILINE | re.DOTALL)
_ONNX_NODE = re.compile(r"ONNX node '<Node\(\w+\): (.*?)>'")


def _read_openvino(complaint: str, nodes: list[NodeProto]) -> Iterator[Finding]:
    missing = _NO_RULE.search(complaint)
    for name in missing[1].split(", ") if missing else []:
        op = re.sub(r"-\d+$", "", name.strip())  # `Mish-18`, `ai.onnx.ml.Binarizer`
        matches = [node for node in nodes if op in {node.op_type, f"{node.domain}.{node.op_type}"}]
        reason = f"OpenVINO has no rule to convert {op}."
        yield from (_finding(name_of(node), op_of(node), reason, _REPLACE) for node in matches)
        if not matches:  # what it made of other operators first
            yield _finding("", op, reason, _REPLACE)
    places = {name: name_of(node) for node in nodes for name in (*node.output, node.name) if name}
    for op, message in _FAILED.findall(complaint):
        names = _ONNX_NODE.findall(message)  # that of a node's first output, where it read a file
        node = places.get(names[0], names[0]) if names else ""
        yield _finding(node, op, f"OpenVINO: {_gist(message)}", _CHANGE)


_NOISE = (
    "Exception from",
    "Loading input model",
    "Check '",
    "FrontEnd API failed",
    "Model wasn't",
    "Summary",
    "To facilitate",
    "While validating",
    "Encountered unconverted",
    "-- Conversion is failed",
)


def _gist(message: str) -> str:
    """Give the line that says what happened, of many that say where."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(_NOISE)]
    return re.sub(r"^(-- |\[ONNXRuntimeError\] : \d+ : \w+ : )", "", (told or lines)[0])


# ----------------------------------------------------------------------------------------- ONNX Runtime
_NO_KERNEL = re.compile(r"implementation for (\w+)\(\d+\) node with name '(.*?)'")
_INVALID = re.compile(r'In Node, \("(.*?)", (\w+), "(.*?)", -?\d+\).*, Error (.*)', re.DOTALL)
_SHAPES = re.compile(r"Node \((.*?)\) Op \((\w+)\) (.*)", re.DOTALL)


def _read_onnxruntime(complaint: str, nodes: list[NodeProto]) -> Iterator[Finding]:
    if match := _NO_KERNEL.search(complaint):
        reason = f"ONNX Runtime has no CPU kernel of {match[1]} for these types."
        yield from _at(nodes, match[1], match[2], reason=reason, remedy=_CHANGE)
    elif match := _INVALID.search(complaint):
        named = _at(nodes, match[2], match[1], reason=f"ONNX Runtime: {match[4].strip()}", remedy=_REPLACE)
        yield from list(_unknown(nodes)) or named  # it names but the first unknown one
    elif match := _SHAPES.search(complaint):
        yield from _at(nodes, match[2], match[1], reason=f"ONNX Runtime: {match[3].strip()}", remedy=_REPAIR)


def _at(nodes: list[NodeProto], op_type: str, name: str, *, reason: str, remedy: str) -> Iterator[Finding]:
    matches = [node for node in nodes if (node.op_type, node.name) == (op_type, name)]
    yield from (_finding(name_of(node), op_of(node), reason, remedy) for node in matches)
    if not matches:  # a node of the body of another operator
        yield _finding(name, op_type, reason, remedy)


def _unknown(nodes: list[NodeProto]) -> Iterator[Finding]:
    from onnx import defs

    for node in nodes:
        if node.domain in {"", "ai.onnx"} and not defs.has(node.op_type):
            yield _finding(
                name_of(node), op_of(node), f"There is no operator {node.op_type} in ONNX.", _REPLACE
            )
