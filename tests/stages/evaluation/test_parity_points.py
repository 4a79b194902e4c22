"""Points: names of nodes lead back to modules, and to where neck and head end."""

import pytest
from onnx import ModelProto, parser

from stages.evaluation.parity_points import layers_of, module_of, modules_of, named_points

NAMES = [
    ("/model.0/conv/Conv", "model.0.conv"),
    ("/model.2/m.0/cv1/act/Mul", "model.2.m.0.cv1.act"),
    ("/model.22/cv2.0/cv2.0.0/conv/Conv", "model.22.cv2.0.0.conv"),
    ("/model.23/cv3.0/cv3.0.0/cv3.0.0.1/act/Sigmoid", "model.23.cv3.0.0.1.act"),
    ("/model.10/m/m.0/attn/qkv/conv/Conv", "model.10.m.0.attn.qkv.conv"),
    ("/model.12/Concat", "model.12"),
    ("Conv_7", ""),
]

GRAPH = """
<ir_version: 8, opset_import: ["": 17]>
g (float[1,2,4,4] images) => (float[1,2,4,4] output0) <
    float[2,2,1,1] w = {1,0,0,1},
    int64[1] shape = {1}
> {
    [ "/model.0/conv/Conv" ] a = Conv (images, w)
    [ "/model.0/act/Relu" ] b = Relu (a)
    [ "/model.1/Shape" ] s = Shape (b)
    [ "/model.2/cv2.0/cv2.0.0/conv/Conv" ] c = Conv (b, w)
    [ "/model.2/cv2.0/cv2.0.1/Conv" ] d = Conv (c, w)
    [ "/model.2/Softmax" ] e = Softmax (d)
    [ "/model.2/dfl/conv/Conv" ] output0 = Conv (e, w)
}
"""


@pytest.fixture(scope="module")
def graph() -> ModelProto:
    return parser.parse_model(GRAPH)


@pytest.mark.parametrize(("node", "module"), NAMES)
def test_a_nodes_name_says_which_module_it_comes_from(node: str, module: str) -> None:
    assert module_of(node) == module


def test_layers_are_what_holds_floats_in_order(graph: ModelProto) -> None:
    assert [layer.tensor for layer in layers_of(graph)] == ["a", "b", "c", "d", "e", "output0"]


def test_neck_and_head_are_named_up_to_decoding(graph: ModelProto) -> None:
    assert named_points(graph) == {"b", "d"}


def test_a_graph_without_scopes_has_no_named_points(graph: ModelProto) -> None:
    bare = ModelProto()
    bare.CopyFrom(graph)
    for number, node in enumerate(bare.graph.node):
        node.name = f"{node.op_type}_{number}"

    assert named_points(bare) == set()


def test_a_module_ends_with_its_last_node(graph: ModelProto) -> None:
    modules = ["model", "model.0", "model.0.conv", "model.0.bn", "model.2.cv2.0", "model.2"]

    assert {module: tensor for tensor, module in modules_of(layers_of(graph), modules)} == {
        "model": "output0",
        "model.0": "b",
        "model.0.conv": "a",
        "model.2.cv2.0": "d",
        "model.2": "output0",
    }
