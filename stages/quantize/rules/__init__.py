"""Rules: whether the parser of a target takes an explicit Q/DQ graph, and takes it as it is meant."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from stages.onnx_files import nodes_of
from stages.quantize.graph import name_nodes
from stages.quantize.rules.fusions import broken_fusions
from stages.quantize.rules.nodes import NODE_RULES, View, is_qdq
from stages.quantize.rules.parsers import Rules, rules_for
from targets.errors import ModelError

__all__ = ["Rules", "breaches", "refuse_breaches", "rules_for"]

_NAMED = 5  # breaches in a message


def refuse_breaches(model: onnx.ModelProto, rules: Rules) -> None:
    """See that a graph keeps the rules.

    Raises:
        ModelError: It does not, or contradicts itself; the message names the first nodes and rules.
    """
    found = breaches(model, rules)
    if found:
        more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        raise ModelError(
            f"{rules.reader} would not take the graph as it is meant: {'; '.join(found[:_NAMED])}{more}.",
            hint="Quantize the FP32 export for this target, in the dialect of its profile.",
        )


def breaches(model: onnx.ModelProto, rules: Rules) -> list[str]:
    """Say where a graph breaks the rules; nothing to say means that it keeps them.

    Args:
        model: Any ONNX model; without Q/DQ only its opset can be wrong.
        rules: Of the runtime that is to read it.

    Returns:
        A sentence for each breach, with the name of the node.

    Raises:
        ModelError: The graph contradicts itself.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    view = View(name_nodes(copy))
    found = [
        f"{node.name}: {said}"
        for node in view.pairs
        for rule in NODE_RULES
        for said in rule(view, node, rules)
    ]
    found += [*_unknown_opset(view, rules), *_in_bodies(view)]
    if rules.tensorrt:
        found += broken_fusions(view.graph)
    return found


def _unknown_opset(view: View, rules: Rules) -> Iterator[str]:
    if rules.opset_max is not None and view.opset > rules.opset_max:
        yield f"opset {view.opset}, {rules.reader} reads up to {rules.opset_max}"


def _in_bodies(view: View) -> Iterator[str]:
    if sum(map(is_qdq, nodes_of(view.model))) > len(view.pairs):
        yield "Q/DQ within the body of an If, Loop, Scan or function, which no parser is known to take"
