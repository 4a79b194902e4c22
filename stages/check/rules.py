"""Rules: how a node is seen to keep or break a restriction.

Each looks at a node and says `kept`, `broken`, or `open` where the file alone does not tell.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from stages.check.view import View, attributes_of, input_of

if TYPE_CHECKING:
    from onnx import NodeProto

Verdict = Literal["kept", "broken", "open"]
Rule = Callable[["NodeProto", View], Verdict]

_MAX_K = 3840  # onnx-tensorrt docs/operators.md, TopK


def known(keeps: bool | None) -> Verdict:  # noqa: FBT001
    """Give the verdict for what is known to be so, known not to be so, or not known."""
    return "open" if keeps is None else "kept" if keeps else "broken"


# --------------------------------------------------------------------------------------- kinds of rules
def constant(index: int) -> Rule:
    """An input is a constant. One that only needs folding may be taken or not, as the parser folds some."""

    def rule(node: NodeProto, view: View) -> Verdict:
        name = input_of(node, index)
        if not name or name in view.constants:
            return "kept"
        return "open" if name in view.foldable or view.called else "broken"

    return rule


def built(index: int) -> Rule:
    """An input is known while the engine is built."""

    def rule(node: NodeProto, view: View) -> Verdict:
        name = input_of(node, index)
        if not name or name in view.foldable:
            return "kept"
        return "open" if view.called else "broken"

    return rule


def zeros(index: int) -> Rule:
    """An input is left out, or a constant of zeros."""

    def rule(node: NodeProto, view: View) -> Verdict:
        name = input_of(node, index)
        if not name:
            return "kept"
        values = view.values(name)
        return known(None if values is None else not any(values))

    return rule


def rank(index: int, *allowed: int) -> Rule:
    """An input has one of these numbers of sides, or is left out."""

    def rule(node: NodeProto, view: View) -> Verdict:
        name = input_of(node, index)
        rank = view.rank(name)
        if not name:
            return "kept"
        return known(None if rank is None else rank in allowed)

    return rule


def all_of(*rules: Rule) -> Rule:
    """Each of several rules is kept; the worst verdict counts."""

    def rule(node: NodeProto, view: View) -> Verdict:
        return max((one(node, view) for one in rules), key=("kept", "open", "broken").index)

    return rule


def integer(name: str, default: int, wanted: int) -> Rule:
    """An attribute has the wanted value."""

    def rule(node: NodeProto, view: View) -> Verdict:
        del view
        found = attributes_of(node).get(name)
        return known((default if found is None else found.i) == wanted)

    return rule


def text(name: str, default: str, *allowed: str) -> Rule:
    """An attribute has one of the allowed values."""

    def rule(node: NodeProto, view: View) -> Verdict:
        del view
        found = attributes_of(node).get(name)
        return known((default if found is None else found.s.decode(errors="replace")) in allowed)

    return rule


def absent(*names: str) -> Rule:
    """None of these attributes is set."""

    def rule(node: NodeProto, view: View) -> Verdict:
        del view
        return known(not set(names) & attributes_of(node).keys())

    return rule


def unset(*names: str) -> Rule:
    """None of these attributes is set; one that is set to its default, 0, may be taken or not."""

    def rule(node: NodeProto, view: View) -> Verdict:
        del view
        found = [one for name, one in attributes_of(node).items() if name in names]
        if any(one.i or one.f for one in found):
            return "broken"
        return "open" if found else "kept"

    return rule


def inputs(most: int) -> Rule:
    """Only the first inputs are given."""

    def rule(node: NodeProto, view: View) -> Verdict:
        del view
        return known(not any(node.input[most:]))

    return rule


def outputs(most: int) -> Rule:
    """Only the first outputs are asked for."""

    def rule(node: NodeProto, view: View) -> Verdict:
        del view
        return known(not any(node.output[most:]))

    return rule


# -------------------------------------------------------------------------------------------- single rules
def kernel(node: NodeProto, view: View) -> Verdict:
    """The window has two or three sides."""
    kernel = attributes_of(node).get("kernel_shape")
    rank = len(kernel.ints) if kernel else (view.rank(input_of(node, 0)) or 2) - 2
    return known(rank in {2, 3} if rank else None)


def dilations(node: NodeProto, view: View) -> Verdict:
    """Nothing is dilated."""
    del view
    found = attributes_of(node).get("dilations")
    return known(found is None or all(one == 1 for one in found.ints))


def same_pads(node: NodeProto, view: View) -> Verdict:
    """Both ends of every axis are padded alike."""
    del view
    found = attributes_of(node).get("pads")
    pads = [*found.ints] if found else []
    return known(pads[: len(pads) // 2] == pads[len(pads) // 2 :])


def not_training(node: NodeProto, view: View) -> Verdict:
    """The mode of training is off, for sure."""
    name = input_of(node, 2)
    values = view.values(name) if name else [False]
    return known(None if values is None else not any(values))


def same_directions(node: NodeProto, view: View) -> Verdict:
    """Both directions have the same activation functions."""
    del view
    attributes = attributes_of(node)
    if "direction" not in attributes or attributes["direction"].s != b"bidirectional":
        return "kept"
    found = [*attributes["activations"].strings] if "activations" in attributes else []
    return known(found[: len(found) // 2] == found[len(found) // 2 :])


def plain_einsum(node: NodeProto, view: View) -> Verdict:
    """There is no ellipsis, and no letter twice in a term."""
    del view
    found = attributes_of(node).get("equation")
    equation = found.s.decode(errors="replace").replace(" ", "") if found else ""
    terms = re.split(r",|->", equation)
    return known("..." not in equation and all(len(set(term)) == len(term) for term in terms))


def no_broadcast(node: NodeProto, view: View) -> Verdict:
    """A letter stands for sides of the same length."""
    found = attributes_of(node).get("equation")
    equation = found.s.decode(errors="replace").replace(" ", "") if found else ""
    sides: dict[str, set[int | None]] = {}
    for term, name in zip(equation.split("->")[0].split(","), node.input, strict=False):
        shape = view.shapes.get(name)
        for index, letter in enumerate(term):
            side = shape[index] if shape is not None and index < len(shape) else None
            sides.setdefault(letter, set()).add(side)
    shared = [one for one in sides.values() if len(one) > 1]
    return known(None if any(None in one for one in shared) else not shared)


def fixed_shape(node: NodeProto, view: View) -> Verdict:
    """All sides of the first input are known."""
    shape = view.shapes.get(input_of(node, 0))
    return known(None if shape is None else None not in shape)


def real_valued(node: NodeProto, view: View) -> Verdict:
    """The signal has no imaginary part: [batch, length], or [batch, length, 1] and not [batch, length, 2]."""
    shape = view.shapes.get(input_of(node, 0))
    if shape is None or (len(shape) == 3 and shape[2] is None):
        return "open"
    return known(len(shape) == 2 or (len(shape) == 3 and shape[2] == 1))


def axis_before_last(node: NodeProto, view: View) -> Verdict:
    """`axis` is -2; 2 is the same one of four, but whether the parser sees that is not known."""
    return "open" if integer("axis", -2, 2)(node, view) == "kept" else integer("axis", -2, -2)(node, view)


def fixed_axis(node: NodeProto, view: View) -> Verdict:
    """The side that `axis` names is known."""
    shape = view.shapes.get(input_of(node, 0))
    found = attributes_of(node).get("axis")
    axis = found.i if found else -1
    if shape is None or not -len(shape) <= axis < len(shape):
        return "open"
    return known(shape[axis] is not None)


def branches(node: NodeProto, view: View) -> Verdict:
    """Both branches give values of the same ranks, under different names."""
    bodies = [one.g for one in node.attribute if one.HasField("g")]
    names = [{value.name for value in body.output} for body in bodies]
    if len(bodies) != 2:
        return "open"
    if names[0] & names[1]:
        return "broken"
    ranks = [[view.rank(value.name) for value in body.output] for body in bodies]
    return known(None if None in (*ranks[0], *ranks[1]) else ranks[0] == ranks[1])


def few(node: NodeProto, view: View) -> Verdict:
    """K is less than 3840."""
    values = view.values(input_of(node, 1))
    return known(None if not values else values[0] < 3840)


def iota_axes(node: NodeProto, view: View) -> Verdict:
    """`axes` names all axes in order, or nothing."""
    found = attributes_of(node).get("axes")
    if found is None or not input_of(node, 2):
        return "kept"
    rank = view.rank(input_of(node, 0))
    return known(None if rank is None else [*found.ints] == [*range(rank)])


def nearest(node: NodeProto, view: View) -> Verdict:
    """The way to round is one of four, where it rounds."""
    if text("mode", "nearest", "nearest")(node, view) == "broken":
        return "kept"
    modes = ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
    return text("nearest_mode", "round_prefer_floor", *modes)(node, view)


def positions(node: NodeProto, view: View) -> Verdict:
    """Input 3 is INT64, or left out."""
    name = input_of(node, 3)
    if not name:
        return "kept"
    return known(view.types[name] == 7 if name in view.types else None)  # TensorProto.INT64


def fixed_carried(node: NodeProto, view: View) -> Verdict:
    """Loop: no output is stacked, and what is carried has the same fixed shape before and after a turn."""
    body = next((one.g for one in node.attribute if one.HasField("g")), None)
    carried = len(node.input) - 2
    if body is None or len(body.output) != carried + 1 or len(body.input) != carried + 2:
        return "open"
    before = [view.shapes.get(name) for name in node.input[2:]]
    after = [view.shapes.get(value.name) for value in body.output[1:]]
    known = all(one is not None and None not in one for one in (*before, *after))
    return "kept" if known and before == after else "open"
