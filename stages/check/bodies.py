"""Bodies: nodes within other nodes and within local functions get names that say where they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from stages.check.complaints import name_of, op_of

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

BETWEEN = " > "  # names of exporters hold '/', ':' and '.', but no blank


def name_by_place(model: ModelProto) -> None:
    """Rename the nodes of bodies and local functions to their path, as `If_3 > then_branch > Relu_1`.

    Names mean nothing to ONNX, but runtimes complain by them, and one name may be in two bodies.
    """
    for graph in (model.graph, *_training(model)):
        _name_bodies(graph.node)
    for function in model.functions:
        _name(function.node, f"{function.domain}::{function.name}")


def _training(model: ModelProto) -> Iterable[GraphProto]:
    for one in model.training_info:
        yield from (one.initialization, one.algorithm)


def _name(nodes: Iterable[NodeProto], place: str) -> None:
    nodes = [*nodes]
    for node in nodes:
        node.name = f"{place}{BETWEEN}{name_of(node) or op_of(node)}"
    _name_bodies(nodes)


def _name_bodies(nodes: Iterable[NodeProto]) -> None:
    for node in nodes:
        for attribute in node.attribute:
            for body in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                _name(body.node, f"{name_of(node)}{BETWEEN}{attribute.name}")
