"""Reading an ONNX file reads the model and no other file, whatever is in it."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import AttributeProto, ModelProto, TensorProto, helper, numpy_helper, parser

from stages.onnx_files import load_onnx, nodes_of
from targets.errors import ModelError

WEIGHTS = np.arange(6, dtype=np.float32)
TEXT = '<ir_version: 8, opset_import: ["": 17]> g (float[6] x) => (float[6] y) { y = Add (x, w) }'


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """Give the list of all files that are opened while the test runs."""
    files: list[str] = []
    listening = [True]

    def listen(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and listening:
            files.append(str(arguments[0]))

    sys.addaudithook(listen)  # there is no way to remove it
    yield files
    listening.clear()


def _external(location: str, **keys: object) -> TensorProto:
    tensor = TensorProto(name="w", dims=[6], data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **keys}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def _save(folder: Path, tensor: TensorProto) -> Path:
    model = parser.parse_model(TEXT)
    model.graph.initializer.append(tensor)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder / "model.onnx"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder for a model, with data beside it and a secret above it."""
    (tmp_path / "secret.bin").write_bytes(WEIGHTS.tobytes())
    inner = tmp_path / "model"
    (inner / "data").mkdir(parents=True)
    (inner / "data" / "w.bin").write_bytes(b"head" + WEIGHTS.tobytes() + b"tail")
    return inner


def test_external_data_beside_the_model_become_part_of_it(folder: Path) -> None:
    model = load_onnx(_save(folder, _external("data/w.bin", offset=4, length=24)))

    np.testing.assert_array_equal(numpy_helper.to_array(model.graph.initializer[0]), WEIGHTS)
    assert model.graph.initializer[0].data_location == TensorProto.DEFAULT


def _link_to_file(folder: Path) -> None:
    (folder / "link.bin").symlink_to(folder.parent / "secret.bin")


def _link_to_folder(folder: Path) -> None:
    (folder / "link").symlink_to(folder.parent, target_is_directory=True)


def _link_to_itself(folder: Path) -> None:
    (folder / "link.bin").symlink_to(folder / "link.bin")


def _nothing(folder: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("location", "prepare"),
    [
        pytest.param("../secret.bin", _nothing, id="parent"),
        pytest.param("data/../../secret.bin", _nothing, id="parent behind a folder"),
        pytest.param("data/../data/w.bin", _nothing, id="parent that comes back"),
        pytest.param("/etc/passwd", _nothing, id="absolute"),
        pytest.param("link.bin", _link_to_file, id="link to a file"),
        pytest.param("link/secret.bin", _link_to_folder, id="link to a folder"),
        pytest.param("link.bin", _link_to_itself, id="link to itself"),
        pytest.param("data", _nothing, id="folder"),
        pytest.param("", _nothing, id="no location"),
        pytest.param("missing.bin", _nothing, id="missing"),
        pytest.param("a\x00b", _nothing, id="NUL"),
        pytest.param("x" * 5000, _nothing, id="name too long"),
    ],
)
def test_external_data_elsewhere_are_refused_unread(
    folder: Path, opened: list[str], location: str, prepare: Callable[[Path], None]
) -> None:
    prepare(folder)
    path = _save(folder, _external(location))
    opened.clear()

    with pytest.raises(ModelError, match="'w'"):
        load_onnx(path)

    assert [file for file in opened if file.startswith(str(folder.parent))] == [str(path)]
    assert not [file for file in opened if "passwd" in file or "secret" in file]


@pytest.mark.parametrize(
    "keys",
    [
        {"offset": -1},
        {"offset": 100},
        {"length": 33},
        {"offset": 30, "length": 8},
        {"offset": "four"},
        {"length": 2**70},
    ],
    ids=str,
)
def test_external_data_beyond_the_file_are_refused(folder: Path, keys: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="'w'"):
        load_onnx(_save(folder, _external("data/w.bin", **keys)))


def _in_attribute(tensor: TensorProto) -> ModelProto:
    model = parser.parse_model(TEXT)
    model.graph.node.append(helper.make_node("Constant", [], ["w"], value=tensor))
    return model


def _in_body(tensor: TensorProto) -> ModelProto:
    body = helper.make_graph([], "body", [], [], [tensor])
    model = parser.parse_model(TEXT)
    model.graph.node.append(helper.make_node("If", ["c"], ["w"], then_branch=body, else_branch=body))
    return model


def _in_sparse_initializer(tensor: TensorProto) -> ModelProto:
    model = parser.parse_model(TEXT)
    model.graph.sparse_initializer.add().values.CopyFrom(tensor)
    return model


def _in_sparse_attribute(tensor: TensorProto) -> ModelProto:
    model = parser.parse_model(TEXT)
    node = model.graph.node.add(op_type="Constant", output=["w"])
    attribute = node.attribute.add(name="sparse_value", type=AttributeProto.SPARSE_TENSOR)
    attribute.sparse_tensor.indices.CopyFrom(tensor)
    return model


def _in_function(tensor: TensorProto) -> ModelProto:
    model = parser.parse_model(TEXT)
    constant = helper.make_node("Constant", [], ["o"], value=tensor)
    model.functions.add(name="f", domain="local", output=["o"]).node.append(constant)
    return model


def _in_training(tensor: TensorProto) -> ModelProto:
    model = parser.parse_model(TEXT)
    model.training_info.add().algorithm.initializer.append(tensor)
    return model


@pytest.mark.parametrize(
    "place",
    [_in_attribute, _in_body, _in_sparse_initializer, _in_sparse_attribute, _in_function, _in_training],
    ids=lambda place: place.__name__[1:],
)
def test_external_data_are_found_wherever_a_tensor_can_be(
    folder: Path, place: Callable[[TensorProto], ModelProto]
) -> None:
    (folder / "model.onnx").write_bytes(place(_external("../secret.bin")).SerializeToString())

    with pytest.raises(ModelError, match="outside the model's folder"):
        load_onnx(folder / "model.onnx")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(b"", "holds no graph", id="empty"),
        pytest.param(b"\xff" * 100, "no ONNX file", id="noise"),
        pytest.param(b"PK\x03\x04 a zip", "no ONNX file", id="checkpoint"),
        pytest.param(ModelProto(ir_version=8).SerializeToString(), "holds no graph", id="no graph"),
        pytest.param(parser.parse_model(TEXT).SerializeToString()[:-9], "no ONNX file", id="truncated"),
    ],
)
def test_what_is_no_model_is_a_model_error(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "model.onnx").write_bytes(content)

    with pytest.raises(ModelError, match=told):
        load_onnx(tmp_path / "model.onnx")


def test_missing_file_and_folder_are_model_errors(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.onnx", Path("/dev/zero")):
        with pytest.raises(ModelError, match="is no file"):
            load_onnx(path)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        pytest.param("a = Neg (b) b = Neg (a) y = Add (x, b)", "circle", id="two nodes"),
        pytest.param("y = Add (x, y)", "circle", id="one node"),
    ],
)
def test_graph_that_goes_in_circles_is_refused(tmp_path: Path, body: str, told: str) -> None:
    text = f'<ir_version: 8, opset_import: ["": 17]> g (float[6] x) => (float[6] y) {{ {body} }}'
    (tmp_path / "model.onnx").write_bytes(parser.parse_model(text).SerializeToString())

    with pytest.raises(ModelError, match=told):
        load_onnx(tmp_path / "model.onnx")


def test_circle_through_the_body_of_a_node_is_refused(tmp_path: Path) -> None:
    body = helper.make_graph([helper.make_node("Neg", ["y"], ["inner"])], "body", [], [])
    model = parser.parse_model(TEXT)
    model.graph.node.append(helper.make_node("If", ["c"], ["w"], then_branch=body, else_branch=body))
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())

    with pytest.raises(ModelError, match="circle"):
        load_onnx(tmp_path / "model.onnx")


def test_body_may_use_a_name_of_its_own_again(tmp_path: Path) -> None:
    body = helper.make_graph([helper.make_node("Neg", ["c"], ["w"])], "body", [], [])
    body.output.add(name="w")
    model = parser.parse_model(TEXT)
    model.graph.node.append(helper.make_node("If", ["c"], ["w"], then_branch=body, else_branch=body))
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())

    assert [node.op_type for node in nodes_of(load_onnx(tmp_path / "model.onnx"))] == [
        "Add",
        "If",
        "Neg",
        "Neg",
    ]


def test_function_that_calls_itself_is_refused(tmp_path: Path) -> None:
    model = parser.parse_model(TEXT)
    for name, called in (("f", "g"), ("g", "f")):
        function = model.functions.add(name=name, domain="local", input=["i"], output=["o"])
        function.node.append(helper.make_node(called, ["i"], ["o"], domain="local"))
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())

    with pytest.raises(ModelError, match="calls itself"):
        load_onnx(tmp_path / "model.onnx")


def test_graphs_nested_without_end_are_refused(tmp_path: Path) -> None:
    def field(number: int, content: bytes) -> bytes:
        length = len(content)
        varint = bytearray()
        while length > 127:
            varint.append(length & 127 | 128)
            length >>= 7
        return bytes([number << 3 | 2, *varint, length]) + content

    graph = b""
    for _ in range(2000):  # GraphProto.node = 1, NodeProto.attribute = 5, AttributeProto.g = 6
        graph = field(1, field(5, field(6, graph)))
    (tmp_path / "model.onnx").write_bytes(field(7, graph))

    with pytest.raises(ModelError, match="no ONNX file"):
        load_onnx(tmp_path / "model.onnx")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_bytes_changed_at_random_give_a_model_or_a_model_error(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(_in_body(_external("data/w.bin")).SerializeToString())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
        content[place] = data.draw(st.integers(0, 255))
    (tmp_path / "model.onnx").write_bytes(content)

    try:
        model = load_onnx(tmp_path / "model.onnx")
    except ModelError:
        return
    assert isinstance(model, onnx.ModelProto)
