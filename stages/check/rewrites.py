"""Rewrites that leave a model's answers as they are, and make more targets take it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stages.check.view import attributes_of, input_of

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

_INT32_MAX = 2**31 - 1
_INDICES = {"ArgMax": 0, "ArgMin": 0, "TopK": 1, "NonMaxSuppression": 0, "NonZero": 0, "Shape": 0, "Size": 0}
_SAME_VALUES = {"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Transpose"}
_INT64, _INT32 = 7, 6  # TensorProto


def spell_out_mod(model: ModelProto) -> ModelProto | None:
    """Write `Mod` as a - a / b * b where `a` is an index: division rounds down for what is not negative."""
    changed = _copy(model)
    made = {name: node for node in changed.graph.node for name in node.output}
    nodes: list[NodeProto] = []
    for node in changed.graph.node:
        nodes.extend(_arithmetic(node, made) or [node])
    if len(nodes) == len(changed.graph.node):
        return None
    del changed.graph.node[:]
    changed.graph.node.extend(nodes)
    return changed


def _arithmetic(node: NodeProto, made: dict[str, NodeProto]) -> list[NodeProto]:
    from onnx import helper

    fmod = attributes_of(node).get("fmod")
    if node.op_type != "Mod" or node.domain not in {"", "ai.onnx"} or (fmod is not None and fmod.i):
        return []
    whole = len(node.input) == 2 and len(node.output) == 1
    if not whole or not _is_made_as_index(input_of(node, 0), made):
        return []
    dividend, divisor, (result,) = node.input[0], node.input[1], node.output
    names = [f"{result}_quotient", f"{result}_multiple"]
    return [
        helper.make_node("Div", [dividend, divisor], [names[0]], name=f"{node.name}/Div"),
        helper.make_node("Mul", [names[0], divisor], [names[1]], name=f"{node.name}/Mul"),
        helper.make_node("Sub", [dividend, names[1]], [result], name=f"{node.name}/Sub"),
    ]


def narrow_outputs(model: ModelProto) -> ModelProto | None:
    """Give INT64 outputs as INT32 where they are indices, which are below 2**31 and not negative."""
    from onnx import helper

    changed = _copy(model)
    made = {name: node for node in changed.graph.node for name in node.output}
    narrow = [
        value
        for value in changed.graph.output
        if value.type.tensor_type.elem_type == _INT64 and _is_made_as_index(value.name, made)
    ]
    for value in narrow:
        wide = f"{value.name}_int64"
        for node in changed.graph.node:
            _rename(node, value.name, wide)
        cast = helper.make_node("Cast", [wide], [value.name], name=f"{value.name}/Cast", to=_INT32)
        changed.graph.node.append(cast)
        value.type.tensor_type.elem_type = _INT32
        _forget(changed, value.name)
    return changed if narrow else None


def clamp_constants(model: ModelProto) -> ModelProto | None:
    """Bring the ends of slices that say "to the end", 2**63 - 1, into the range of INT32."""
    from onnx import numpy_helper

    changed = _copy(model)
    ends = {input_of(node, 2) for node in changed.graph.node if node.op_type == "Slice"}
    others = {name for node in changed.graph.node for name in node.input if node.op_type != "Slice"}
    ends -= others
    found = False
    for tensor in changed.graph.initializer:
        if tensor.name not in ends or tensor.data_type != _INT64:
            continue
        try:
            values = numpy_helper.to_array(tensor)
        except (ValueError, TypeError):  # its data do not fit its shape
            continue
        clamped = np.clip(values, -_INT32_MAX - 1, _INT32_MAX)
        if not np.array_equal(values, clamped):
            tensor.CopyFrom(numpy_helper.from_array(clamped, tensor.name))
            found = True
    return changed if found else None


def _is_made_as_index(name: str, made: dict[str, NodeProto]) -> bool:
    node = made.get(name)
    while node is not None and node.op_type in _SAME_VALUES:
        name = input_of(node, 0)
        node = made.get(name)
    if node is None:
        return False
    place = _INDICES.get(node.op_type)
    return place is not None and place < len(node.output) and node.output[place] == name


def _rename(node: NodeProto, old: str, new: str) -> None:
    for names in (node.input, node.output):
        for place, name in enumerate(names):
            if name == old:
                names[place] = new


def _forget(model: ModelProto, name: str) -> None:
    kept = [one for one in model.graph.value_info if one.name != name]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)


def _copy(model: ModelProto) -> ModelProto:
    from onnx import ModelProto as Model

    copy = Model()
    copy.CopyFrom(model)
    return copy
