"""Points: which tensors of an exported detector are looked at, and which module of PyTorch makes each.

The exporter names nodes by the module that they come from: module `model.23.cv2.0.2` gives the node
`/model.23/cv2.0/cv2.0.2/Conv`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import TensorProto

from stages.tensor_types import tensor_types


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A node of an exported graph that makes floats.

    Attributes:
        tensor: What it makes.
        op: Its operator.
        module: The module it comes from, as `model.0.conv`; empty where the name does not say.
    """

    tensor: str
    op: str
    module: str


def layers_of(model: onnx.ModelProto) -> list[Layer]:
    """Give the tensors of a graph that hold floats, in the order in which they are computed."""
    types = tensor_types(model)
    return [
        Layer(tensor=name, op=node.op_type, module=module_of(node.name))
        for node in model.graph.node
        for name in node.output
        if types.get(name) in {TensorProto.FLOAT, TensorProto.FLOAT16} and node.op_type != "Constant"
    ]


def module_of(node: str) -> str:
    """Give the path of the module that a node comes from: its scopes, without what repeats another."""
    path: list[str] = []
    before = ""
    for scope in node.split("/")[1:-1]:
        path.append(scope.removeprefix(f"{before}."))
        before = scope
    return ".".join(path)


def named_points(model: onnx.ModelProto) -> set[str]:
    """Give the tensors that the neck hands to the head, and those of the head's last convolutions.

    The head is the last numbered part of the network. Nothing for a graph whose names do not say.
    """
    nodes = list(model.graph.node)
    head = _head(node.name for node in nodes)
    if not head:
        return set()
    inside = [node for node in nodes if node.name.startswith(f"{head}/")]
    made_inside = {name for node in inside for name in node.output}
    made = {name for node in nodes if node.op_type != "Constant" for name in node.output}
    neck = {name for node in inside for name in node.input if name in made - made_inside}
    return neck | _last_convolutions(inside)


def _head(names: Iterable[str]) -> str:
    """Give the scope of the last part, as `/model.23`."""
    scopes = {name.split("/")[1] for name in names if name.startswith("/model.")}
    numbered = [scope for scope in scopes if scope.removeprefix("model.").isdigit()]
    return "/" + max(numbered, key=lambda scope: int(scope.removeprefix("model."))) if numbered else ""


def _last_convolutions(nodes: list[Any]) -> set[str]:
    """Give what those convolutions make behind which there is none but that of DFL, an expectation."""
    before_another: set[str] = set()
    last: set[str] = set()
    for node in reversed(nodes):
        convolves = node.op_type in {"Conv", "MatMul", "Gemm"} and "/dfl/" not in node.name
        if convolves and not before_another.intersection(node.output):
            last.add(node.output[0])
        if convolves or before_another.intersection(node.output):
            before_another.update(node.input)
    return last


def modules_of(layers: Iterable[Layer], modules: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Give the tensor that each module ends with: what the last node within it makes.

    Args:
        layers: Of the exported graph, in order.
        modules: Paths of the modules, as PyTorch gives them.

    Yields:
        A tensor and the path of a module; several modules may end with the same tensor.
    """
    ends: dict[str, str] = {}
    for layer in layers:
        parts = layer.module.split(".")
        ends.update({".".join(parts[:depth]): layer.tensor for depth in range(1, len(parts) + 1)})
    yield from ((ends[module], module) for module in modules if module in ends)
