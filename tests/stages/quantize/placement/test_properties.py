"""Placement and insertion, on whatever graph: what holds for all of them."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import onnx
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from stages.evaluation.simulation import simulated
from stages.quantize.calibration.session import Session
from stages.quantize.graph import Graph
from stages.quantize.insert import insert_qdq
from stages.quantize.placement import Placement, moves, place
from stages.quantize.ranges import Grid
from targets.errors import ModelError

SIDE = 4
PICTURE = np.random.default_rng(0).integers(0, 4, (1, 4, SIDE, SIDE)).astype(np.float32)


@dataclass
class Writer:
    """A graph under way, of tensors (1, channels, SIDE, SIDE); all that is computed are small integers.

    So a convolution copies channels, and a grid with a step of 1 rounds nothing.
    """

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    stored: list[onnx.TensorProto] = field(default_factory=list)
    channels: dict[str, int] = field(default_factory=lambda: {"images": 4})

    def add(self, op: str, *inputs: str, channels: tuple[int, ...], **attributes: object) -> list[str]:
        outputs = [f"t{len(self.nodes)}{letter}" for letter, _ in zip("abc", channels, strict=False)]
        self.nodes.append(helper.make_node(op, inputs, outputs, name=f"n{len(self.nodes)}", **attributes))
        self.channels |= dict(zip(outputs, channels, strict=True))
        return outputs

    def store(self, values: np.ndarray) -> str:
        self.stored.append(numpy_helper.from_array(values, f"k{len(self.stored)}"))
        return self.stored[-1].name

    def conv(self, source: str, outs: int, seed: int = 0) -> str:
        ins = self.channels[source]
        weight = np.zeros((outs, ins, 1, 1), np.float32)
        weight[np.arange(outs), np.random.default_rng(seed).integers(0, ins, outs)] = 1
        return self.add("Conv", source, self.store(weight), channels=(outs,))[0]

    @property
    def sums(self) -> int:
        return sum(node.op_type == "Add" for node in self.nodes)

    def model(self) -> onnx.ModelProto:
        last = self.conv(list(self.channels)[-1], 2)
        shape = [1, 2, SIDE, SIDE]
        graph = helper.make_graph(
            self.nodes,
            "random",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, PICTURE.shape)],
            [helper.make_tensor_value_info(last, TensorProto.FLOAT, shape)],
            self.stored,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def write(draw: st.DrawFn, writer: Writer, op: str) -> None:
    """Add one operator that reads tensors there are."""
    names = st.sampled_from(list(writer.channels))
    source, other = draw(names), draw(names)
    count, more = writer.channels[source], writer.channels[other]
    if op in UNARY:
        stored, attributes = UNARY[op]
        constants = [writer.store(values) if values.size else "" for values in stored(count)]
        writer.add(op, source, *constants, channels=(count,), **attributes)
    elif op == "Conv":
        writer.conv(source, draw(st.sampled_from([2, 4])), seed=draw(st.integers(0, 9)))
    elif op == "Split" and count > 1:
        parts = writer.store(np.array([1, count - 1]))
        writer.add(op, source, parts, channels=(1, count - 1), axis=1)
    elif op == "Concat" and count + more <= 8:
        writer.add(op, source, other, channels=(count + more,), axis=1)
    elif op == "Add" and count == more and writer.sums < 4:  # they may double what is there
        writer.add(op, source, other, channels=(count,))


def _nothing(_: int) -> list[np.ndarray]:
    return []


# Operators on one tensor that leave the values of this graph as they are: what they store, and attributes.
UNARY: dict[str, tuple[Callable[[int], list[np.ndarray]], dict[str, object]]] = {
    "Relu": (_nothing, {}),
    "Floor": (_nothing, {}),
    "Identity": (_nothing, {}),
    "MaxPool": (_nothing, {"kernel_shape": [1, 1]}),
    "AveragePool": (_nothing, {"kernel_shape": [1, 1]}),
    "Transpose": (_nothing, {"perm": [0, 1, 3, 2]}),
    "Reshape": (lambda count: [np.array([1, count, SIDE, SIDE])], {}),
    "Resize": (lambda _: [np.empty(0), np.ones(4, np.float32)], {"mode": "nearest"}),
    "Slice": (lambda count: [np.array([0]), np.array([count]), np.array([1])], {}),
}
OPS = ("Conv", "Conv", "Split", "Concat", "Add", *UNARY)


@st.composite
def models(draw: st.DrawFn) -> onnx.ModelProto:
    writer = Writer()
    for op in draw(st.lists(st.sampled_from(OPS), min_size=1, max_size=14)):
        write(draw, writer, op)
    return writer.model()


@st.composite
def placed(draw: st.DrawFn) -> tuple[onnx.ModelProto, Placement]:
    model = draw(models())
    names = [node.name for node in model.graph.node]
    exclude = draw(st.lists(st.sampled_from(["head", *names]), unique=True, max_size=3))
    try:
        return model, place(model, exclude=exclude)
    except ModelError as exc:
        assert exc.what.startswith("Nothing in the model can be quantized")
        reject()


def run(model: onnx.ModelProto) -> np.ndarray:
    return Session(model, [model.graph.output[0].name]).run({"images": PICTURE})[0]


def by_group(placement: Placement) -> dict[str, Grid]:
    """Give each group a scale that no other has."""
    return {name: Grid(float(number)) for number, group in enumerate(placement.groups, 1) for name in group}


@given(drawn=placed(), grid=st.sampled_from([Grid(1.0), Grid(1.0, 100, unsigned=True)]))
@settings(deadline=None, max_examples=50)
def test_where_grids_round_nothing_the_graph_computes_the_same(
    drawn: tuple[onnx.ModelProto, Placement], grid: Grid
) -> None:
    model, placement = drawn

    made = insert_qdq(model, placement, dict.fromkeys(placement.activations, grid))

    onnx.checker.check_model(made, full_check=True)
    assert run(simulated(made)) == pytest.approx(run(model), abs=1e-4)


@given(drawn=placed())
@settings(deadline=None)
def test_what_moves_int8_gives_it_on_the_scale_that_it_came_on(
    drawn: tuple[onnx.ModelProto, Placement],
) -> None:
    graph = Graph(insert_qdq(*drawn, by_group(drawn[1])))

    read = {edge.node for edge in drawn[1].edges}
    for node in graph.nodes:
        if node.name in read and moves(graph, node):
            pairs = [one for one in graph.before(node) if one.op_type == "DequantizeLinear"]
            pairs += graph.after(node)
            assert {one.op_type for one in graph.after(node)} <= {"QuantizeLinear"}
            assert len({float(graph.constant(one.input[1])) for one in pairs}) == 1


@given(drawn=placed())
@settings(deadline=None)
def test_each_pair_is_whole_and_read_and_nobody_else_reads_int8(
    drawn: tuple[onnx.ModelProto, Placement],
) -> None:
    model, placement = drawn
    graph = Graph(insert_qdq(model, placement, by_group(placement)))

    edges = {(edge.node, edge.position) for edge in placement.edges}
    weighted = {(name, 1) for name in placement.nodes}
    for node in graph.nodes:
        after = {one.op_type for one in graph.after(node)}
        if node.op_type == "QuantizeLinear":
            assert after == {"DequantizeLinear"}
        elif node.op_type == "DequantizeLinear":
            assert after or node.output[0] in graph.outputs
        else:
            dequantized = [
                graph.makers[name].op_type == "DequantizeLinear" if name in graph.makers else False
                for name in node.input
            ]
            expected = [(node.name, place) in edges | weighted for place in range(len(node.input))]
            assert dequantized == expected


@given(drawn=placed())
def test_what_is_quantized_once_is_not_quantized_again(drawn: tuple[onnx.ModelProto, Placement]) -> None:
    made = insert_qdq(*drawn, by_group(drawn[1]))

    with pytest.raises(ModelError, match="quantized already"):
        place(made, exclude=())
