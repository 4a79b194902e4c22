"""DLA: which nodes stay on the accelerator, which fall back to the GPU, and how often data change sides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from stages.check import Placement
from stages.check.complaints import op_of
from stages.check.view import View, attributes_of, input_of
from targets.operators.dla import find_dla_support
from targets.operators.releases import jetpacks_with_dla, spell, why_no_dla
from targets.profile import TargetProfile

if TYPE_CHECKING:
    from onnx import NodeProto

Limit = Callable[["NodeProto", View], str]
_COMPUTED = {1, 3, 10}  # TensorProto: FP32, which becomes FP16, INT8, FP16
_OPEN = "the model's shapes are not fixed"


def place_on_dla(view: View, nodes: Sequence[NodeProto], profile: TargetProfile) -> Placement | None:
    """Say what of a graph would run on DLA; None where the device has none.

    Args:
        view: Of the graph.
        nodes: Its nodes, in order.
        profile: Of the target.
    """
    if profile.runtime != "tensorrt":
        return None
    others = jetpacks_with_dla(profile.module)
    missing = why_no_dla(profile.runtime_version, profile.sm, profile.module)
    if missing and (profile.dla or others):
        back = f" JetPack {spell(others, profile.module)} has it." if others else ""
        return Placement(on_dla=0, on_gpu=0, handovers=0, parts=0, fallen={}, reason=missing + back)
    if profile.dla == 0:
        return None
    real = [node for node in nodes if not view.foldable.issuperset(filter(None, node.output))]
    places = {id(node): _why_not(node, view, profile) for node in real}
    real = [node for node in real if places[id(node)] is not None]
    fallen = Counter(f"{op_of(node)}: {places[id(node)]}" for node in real if places[id(node)])
    on_dla = [node for node in real if not places[id(node)]]
    return Placement(
        on_dla=len(on_dla),
        on_gpu=len(real) - len(on_dla),
        handovers=_handovers(real, {id(node) for node in on_dla}),
        parts=_parts(on_dla),
        fallen=dict(fallen.most_common()),
        reason="",
    )


def _why_not(node: NodeProto, view: View, profile: TargetProfile) -> str | None:
    """Say why a node falls back, "" if it does not; None where the builder folds it."""
    if op_of(node) != node.op_type:
        return "not an operator of ONNX"
    support = find_dla_support(node.op_type, profile.runtime_version)
    if support.place == "build-time":
        return None
    if support.place == "gpu":
        return support.reason
    shape = view.shapes.get(input_of(node, 0))
    if shape is None or None in shape:
        return _OPEN
    if view.types.get(input_of(node, 0), 1) not in _COMPUTED:
        return "data of another type than FP16 and INT8"
    return _LIMITS[node.op_type](node, view) if node.op_type in _LIMITS else ""


def _handovers(nodes: Sequence[NodeProto], on_dla: set[int]) -> int:
    """Count the values that one side makes and the other reads."""
    maker = {name: id(node) in on_dla for node in nodes for name in node.output if name}
    crossing = {
        name for node in nodes for name in node.input if name in maker and maker[name] != (id(node) in on_dla)
    }
    return len(crossing)


def _parts(on_dla: Sequence[NodeProto]) -> int:
    """Count the groups of nodes on DLA that hang together; each is at least one loadable."""
    group: dict[str, str] = {}

    def root(name: str) -> str:
        while group.setdefault(name, name) != name:
            group[name] = group[group[name]]  # or a long chain is walked for each of its nodes
            name = group[name]
        return name

    made = {name for node in on_dla for name in node.output if name}
    for node in on_dla:
        ends = [name for name in (*node.output, *node.input) if name in made]
        for name in ends[1:]:
            group[root(name)] = root(ends[0])
    return len({root(name) for name in made})


# ------------------------------------------------------------------------------------------------ limits
# NvInfer.h and docs.nvidia.com/deeplearning/tensorrt: "DLA layer support and restrictions".
def _ints(node: NodeProto, name: str) -> list[int]:
    found = attributes_of(node).get(name)
    return [*found.ints] if found else []


def _within(values: Sequence[int], low: int, high: int) -> bool:
    return all(low <= one <= high for one in values)


def _first(problems: Mapping[str, bool]) -> str:
    return next((text for text, wrong in problems.items() if wrong), "")


def _convolution(node: NodeProto, view: View) -> str:
    weights = view.shapes.get(input_of(node, 1)) or ()
    return _first(
        {
            "only 2D": len(weights) != 4,
            "kernel beyond 32": not _within([one or 0 for one in weights[2:]], 1, 32),
            "stride beyond 8": not _within(_ints(node, "strides"), 1, 8),
            "dilation beyond 32": not _within(_ints(node, "dilations"), 1, 32),
            "more than 8192 output maps": bool(weights) and (weights[0] or 0) > 8192,
        }
    )


def _deconvolution(node: NodeProto, view: View) -> str:
    weights = view.shapes.get(input_of(node, 1)) or ()
    group = attributes_of(node).get("group")
    return _first(
        {
            "only 2D": len(weights) != 4,
            "grouped": group is not None and group.i != 1,
            "dilated": any(one != 1 for one in _ints(node, "dilations")),
            "padded": any(_ints(node, "pads")),
        }
    )


def _pooling(node: NodeProto, view: View) -> str:
    del view
    kernel = _ints(node, "kernel_shape")
    return _first(
        {
            "only 2D": len(kernel) != 2,
            "window beyond 8": not _within(kernel, 1, 8),
            "stride beyond 16": not _within(_ints(node, "strides"), 1, 16),
        }
    )


def _resize(node: NodeProto, view: View) -> str:
    scales = view.values(input_of(node, 2)) or []
    mode = attributes_of(node).get("mode")
    most = 32 if mode is None or mode.s == b"nearest" else 4
    return _first(
        {
            "needs four constant scales": len(scales) != 4,
            "the first two scales are not 1": scales[:2] != [1.0, 1.0],
            f"scales are not whole, or beyond {most}": any(
                one != int(one) or not 1 <= one <= most for one in scales[2:]
            ),
        }
    )


def _concatenation(node: NodeProto, view: View) -> str:
    axis = attributes_of(node).get("axis")
    rank = view.rank(input_of(node, 0)) or 0
    place = (axis.i if axis else 0) % rank if rank else 0
    return "" if rank >= 3 and place == rank - 3 else "not along channels"


def _constant_second(node: NodeProto, view: View) -> str:
    return "" if input_of(node, 1) in view.foldable else "the second input is no constant"


def _shuffle(node: NodeProto, view: View) -> str:
    before, after = view.shapes.get(input_of(node, 0)), view.shapes.get(node.output[0])
    if before is None or after is None or len(before) != 4 or len(after) != 4:
        return "only 4D"
    order = _ints(node, "perm")
    return "moves the batch" if before[0] != after[0] or (order and order[0] != 0) else ""


def _slice(node: NodeProto, view: View) -> str:
    before, after = view.shapes.get(input_of(node, 0)), view.shapes.get(node.output[0])
    if before is None or after is None or len(before) != 4:
        return "only 4D"
    constant = all(not name or name in view.foldable for name in node.input[1:])
    return "" if constant and before[0] == after[0] else "not static, or cuts the batch"


def _softmax(node: NodeProto, view: View) -> str:
    shape = view.shapes[input_of(node, 0)]
    found = attributes_of(node).get("axis")
    axis = found.i if found else -1
    side = shape[axis] if -len(shape) <= axis < len(shape) else None
    return "" if side is not None and side <= 1024 else "axis longer than 1024"


_LIMITS: dict[str, Limit] = {
    "Conv": _convolution,
    "ConvTranspose": _deconvolution,
    "MaxPool": _pooling,
    "AveragePool": _pooling,
    "Resize": _resize,
    "Concat": _concatenation,
    "Gemm": _constant_second,
    "MatMul": _constant_second,
    "PRelu": _constant_second,
    "Reshape": _shuffle,
    "Transpose": _shuffle,
    "Slice": _slice,
    "Split": _slice,
    "Softmax": _softmax,
}
