"""Small graphs to quantize, written as text; weights are random, and shaped as `WEIGHTS` says."""

from collections.abc import Callable, Mapping

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from stages.quantize.calibration.session import Session
from stages.quantize.graph import Graph
from stages.quantize.placement import Placement
from stages.quantize.ranges import Grid, Range, grid_of

SIDE = 16

# Two convolutions with SiLU, and a head as YOLO's: boxes by DFL (4 bins a side), scores by sigmoid.
DETECTOR = """
    c0 = Conv <strides = [2, 2], pads = [1, 1, 1, 1]> (images, w0, b0)
    s0 = Sigmoid (c0)
    a0 = Mul (c0, s0)
    c1 = Conv <pads = [1, 1, 1, 1]> (a0, w1)
    s1 = Sigmoid (c1)
    a1 = Mul (c1, s1)
    box = Conv (a1, w_box, b_box)
    cls = Conv (a1, w_cls, b_cls)
    bins = Reshape (box, bins_shape)
    turned = Transpose <perm = [0, 2, 1, 3]> (bins)
    shares = Softmax <axis = 1> (turned)
    dfl = Conv (shares, w_dfl)
    sides = Reshape (dfl, sides_shape)
    boxes = Mul (sides, strides)
    logits = Reshape (cls, logits_shape)
    scores = Sigmoid (logits)
    output0 = Concat <axis = 1> (boxes, scores)
"""
WEIGHTS = {
    "w0": (8, 3, 3, 3), "b0": (8,), "w1": (8, 8, 3, 3), "w_box": (16, 8, 1, 1), "b_box": (16,),
    "w_cls": (2, 8, 1, 1), "b_cls": (2,), "strides": (1,),
}  # fmt: skip
CONSTANTS = {
    "w_dfl": np.arange(4, dtype=np.float32).reshape(1, 4, 1, 1),
    "bins_shape": np.array([1, 4, 4, 64]),
    "sides_shape": np.array([1, 4, 64]),
    "logits_shape": np.array([1, 2, 64]),
}

Build = Callable[..., onnx.ModelProto]
Told = Callable[..., str]
GridsFor = Callable[..., dict[str, Grid]]


@pytest.fixture(scope="session")
def build() -> Build:
    """Give a model from the text of its graph; nodes are named after their outputs."""

    def make(
        text: str,
        weights: Mapping[str, tuple[int, ...]],
        constants: Mapping[str, np.ndarray] | None = None,
        *,
        source: str = f"float[1, 3, {SIDE}, {SIDE}] images",
        output: str = "float[n] output0",
    ) -> onnx.ModelProto:
        model = parser.parse_model(
            f'<ir_version: 8, opset_import: ["": 17]> toy ({source}) => ({output}) {{ {text} }}'
        )
        random = np.random.default_rng(0)
        for name, shape in weights.items():
            scale = 1 / np.sqrt(np.prod(shape[1:]) or 1)
            values = random.normal(scale=scale, size=shape).astype(np.float32)
            model.graph.initializer.append(numpy_helper.from_array(values, name))
        for name, values in (constants or {}).items():
            model.graph.initializer.append(numpy_helper.from_array(values, name))
        for node in model.graph.node:
            node.name = node.output[0]
        return model

    return make


@pytest.fixture
def detector(build: Build) -> onnx.ModelProto:
    """Give a detector of two convolutions and a head with DFL."""
    return build(DETECTOR, WEIGHTS, CONSTANTS, output="float[1, 6, 64] output0")


@pytest.fixture(scope="session")
def told() -> Told:
    """Give a part of a placement as text: who reads INT8 of what, what shares a scale, and who does neither.

    The part is the nodes whose names begin with `module`, which is left away, or those from `first` to
    `last`. A tensor goes by the name of the node that makes it, the outputs of a Split by number. Activation
    functions are taken for granted.
    """

    def tell(
        model: onnx.ModelProto, placement: Placement, module: str = "", *, first: str = "", last: str = ""
    ) -> str:
        order = [node.name for node in model.graph.node]
        span = slice(order.index(first or order[0]), order.index(last or order[-1]) + 1)
        nodes = [node for node in model.graph.node[span] if node.name.startswith(module)]
        names = {one.name: one.name for one in model.graph.input} | {
            tensor: _short(node, module) + (f":{number}" if len(node.output) > 1 else "")
            for node in model.graph.node
            for number, tensor in enumerate(node.output)
        }
        reads: dict[str, list[str]] = {}
        members = {node.name: node for node in nodes}
        for edge in placement.edges:
            if edge.node in members:
                reads.setdefault(edge.node, []).append(names[members[edge.node].input[edge.position]])
        lines = [
            f"{_short(members[node], module)} <- {', '.join(tensors)}" for node, tensors in reads.items()
        ]
        within = {tensor for node in nodes for tensor in node.output}
        lines += [
            f"one scale: {', '.join(names[one] for one in sorted(group, key=list(names).index))}"
            for group in placement.groups
            if len(group) > 1 and within.intersection(group)
        ]
        graph = Graph(model)
        rest = [node for node in nodes if node.name not in reads and not _is_activation(graph, node)]
        floats = [_short(node, module) for node in rest]
        return "\n".join([*lines, *([f"float: {', '.join(floats)}"] if floats else [])]) + "\n"

    return tell


def _short(node: onnx.NodeProto, module: str) -> str:
    return node.name.removeprefix(module).removesuffix("_output_0")  # onnxslim gives nodes names of tensors


def _is_activation(graph: Graph, node: onnx.NodeProto) -> bool:
    """Say whether a node is Relu, LeakyRelu or a part of SiLU."""
    if node.op_type == "Sigmoid":
        return any(one.op_type == "Mul" and node.input[0] in one.input for one in graph.after(node))
    if node.op_type == "Mul":
        return any(one.op_type == "Sigmoid" and one.input[0] in node.input for one in graph.before(node))
    return node.op_type in {"Relu", "LeakyRelu"}


@pytest.fixture(scope="session")
def grids_for() -> GridsFor:
    """Give min-max grids for a placement, from one picture."""

    def find(
        model: onnx.ModelProto, placement: Placement, images: np.ndarray, *, symmetric: bool = True
    ) -> dict[str, Grid]:
        names = placement.activations
        found = Session(model, names).run({model.graph.input[0].name: images})
        values = dict(zip(names, found, strict=True))
        return {
            name: grid_of(
                Range(
                    min(float(values[one].min()) for one in group),
                    max(float(values[one].max()) for one in group),
                ),
                symmetric=symmetric,
            )
            for group in placement.groups
            for name in group
        }

    return find
