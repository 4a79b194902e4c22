"""What a board reads of an ONNX file is what the onnx package reads of it."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper, parser

from targets.errors import ModelError
from targets.trt.onnx_wire import Look, look
from tests.trt_double.boards import FP16, FP32, INT8, graph


def looked(model: onnx.ModelProto) -> Look:
    return look(model.SerializeToString())


@pytest.mark.parametrize(
    ("text", "int8", "fp16"),
    [(FP32, False, False), (FP16, False, True), (INT8, True, False)],
    ids=["fp32", "fp16", "int8"],
)
def test_precision_is_told(text: str, int8: bool, fp16: bool) -> None:
    found = looked(graph(text, opset=19))

    assert (found.int8, found.fp16, found.external) == (int8, fp16, ())


def test_fp16_scales_count_as_fp16() -> None:
    assert looked(graph(INT8, opset=19, scale=np.float16)).fp16


def test_nodes_have_the_parsers_numbers() -> None:
    model = graph(FP32)
    for node in model.graph.node:
        node.name = f"/model.0/{node.op_type}"

    assert looked(model).nodes == tuple((node.name, node.op_type) for node in model.graph.node)


@pytest.mark.parametrize("where", ["input", "cast", "constant"])
def test_fp16_is_found_wherever_it_is_said(where: str) -> None:
    texts = {
        "input": "g (float16[1] x) => (float16[1] y) { y = Relu (x) }",
        "cast": "g (float[1] x) => (float[1] y) { h = Cast <to = 10> (x)  y = Cast <to = 1> (h) }",
        "constant": "g (float[1] x) => (float[1] y) { c = Constant <value = float16[1] {1}>() y = Relu (x) }",
    }

    assert looked(parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {texts[where]}')).fp16


def _branching(inner: onnx.NodeProto) -> onnx.ModelProto:
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    body = helper.make_graph([inner], "body", [], [out])
    condition = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    node = helper.make_node("If", ["c"], ["y"], then_branch=body, else_branch=body)
    return helper.make_model(helper.make_graph([node], "g", [condition], [out]))


def test_what_is_within_a_branch_counts_but_is_no_node_of_the_graph() -> None:
    found = looked(_branching(helper.make_node("DequantizeLinear", ["q", "s"], ["y"])))

    assert found.int8
    assert found.nodes == (("", "If"),)


def test_weights_in_a_branch_that_are_elsewhere_are_found() -> None:
    weight = numpy_helper.from_array(np.ones(1, np.float32), "w")
    onnx.external_data_helper.set_external_data(weight, "../../etc/passwd")
    weight.ClearField("raw_data")

    found = looked(_branching(helper.make_node("Constant", [], ["y"], value=weight)))

    assert found.external == ("../../etc/passwd",)


def test_weights_in_other_files_are_named_once_each(tmp_path: Path) -> None:
    onnx.save(
        graph(FP32), tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0
    )

    assert look((tmp_path / "m.onnx").read_bytes()).external == ("w.bin",)


def test_weights_that_are_elsewhere_and_do_not_say_where_are_found_too() -> None:
    model = graph(FP32)
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL

    assert looked(model).external == ("",)


@pytest.mark.parametrize("content", [b"", b"\x00", b"PK\x03\x04 a zip", b"ONNX", b"\x0b\x0c", b"\xff" * 20])
def test_what_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(ModelError, match="no ONNX model"):
        look(content)


def test_a_model_that_is_cut_short_is_refused() -> None:
    content = graph(FP32).SerializeToString()

    with pytest.raises(ModelError, match="cut short"):
        look(content[: len(content) // 2])


def test_graphs_without_end_are_refused() -> None:
    def wrap(field: int, content: bytes) -> bytes:
        size, length = len(content), b""
        while size > 0x7F:
            length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
        return bytes([field << 3 | 2]) + length + bytes([size]) + content

    content = b""
    for _ in range(200):  # a graph in an attribute of a node of a graph …
        content = wrap(1, wrap(5, wrap(6, content)))

    with pytest.raises(ModelError, match="too deeply"):
        look(wrap(7, content))


@given(st.data())
def test_damaged_models_are_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    content = bytearray(graph(INT8, opset=19).SerializeToString())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))

    try:
        found = look(bytes(content))
    except ModelError:
        return
    assert isinstance(found.int8, bool)
