"""Foreign models: old opsets and the many ways to store a weight, brought into one form."""

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper, parser

from stages.quantize.foreign import prepared, raised
from stages.quantize.placement import place
from targets.errors import ModelError

Build = Callable[..., onnx.ModelProto]

TWELVE = ", ".join(map(str, range(12)))
PICTURE = np.random.default_rng(1).random((1, 3, 16, 16), np.float32)


def run(model: onnx.ModelProto) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"images": PICTURE})[0]


def old(text: str, *, opset: int, ir_version: int = 6) -> onnx.ModelProto:
    model = parser.parse_model(
        f'<ir_version: {ir_version}, opset_import: ["": {opset}]> '
        f"old (float[1, 3, 16, 16] images) => (float[p, q, r, s] output0) {{ {text} }}"
    )
    weight = np.random.default_rng(0).normal(size=(4, 3, 1, 1)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    for node in model.graph.node:
        node.name = node.output[0]
    return model


@pytest.mark.parametrize("opset", [9, 11, 12])
def test_an_old_opset_is_raised_to_17_and_computes_the_same(opset: int) -> None:
    # Below 13, axes are attributes, and Softmax is over all axes from the given one on.
    model = old(
        "a = Conv (images, w) b = Unsqueeze <axes = [0]> (a) c = Squeeze <axes = [0]> (b) "
        "output0 = Softmax <axis = 1> (c)",
        opset=opset,
    )
    before = run(model)

    made = raised(model)

    assert [one.version for one in made.opset_import] == [17]
    assert run(made) == pytest.approx(before, abs=1e-6)


@pytest.mark.parametrize("opset", [13, 16, 17, 19])
def test_a_newer_opset_stays(opset: int) -> None:
    made = raised(old("output0 = Conv (images, w)", opset=opset))

    assert [one.version for one in made.opset_import] == [opset]


def test_initializers_among_the_inputs_of_old_files_are_inputs_no_more() -> None:
    model = old("output0 = Conv (images, w)", opset=11, ir_version=3)
    model.graph.input.append(helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [4, 3, 1, 1]))
    before = run(model)

    made = prepared(model)

    assert [one.name for one in made.graph.input] == ["images"]
    assert made.ir_version == 8
    assert run(made) == pytest.approx(before, abs=1e-6)


@pytest.mark.parametrize(
    "weight",
    [
        pytest.param("v = Identity (w)", id="Identity"),
        pytest.param("u = Identity (w) v = Identity (u)", id="Identity of Identity"),
        pytest.param(f"v = Constant <value = float[4, 3, 1, 1] {{{TWELVE}}}> ()", id="Constant"),
    ],
)  # fmt: skip
def test_weights_are_found_wherever_an_exporter_puts_them(build: Build, weight: str) -> None:
    model = build(f"{weight} a = Conv (images, v) output0 = Relu (a)", {"w": (4, 3, 1, 1)})
    before = run(model)

    made = prepared(model)

    assert place(made, exclude=()).nodes == ("a", "output0")
    assert [node.name for node in made.graph.node] == ["a", "output0"]
    assert run(made) == pytest.approx(before, abs=1e-6)


@pytest.mark.parametrize(
    "value",
    ["value_float = 2.0", "value_floats = [2.0]", "value_int = 2", "value_ints = [2]", "value = float {2}"],
)
def test_numbers_of_every_kind_of_constant_are_kept(build: Build, value: str) -> None:
    model = build(f"k = Constant <{value}> () f = Cast <to = 1> (k) output0 = Mul (images, f)", {})
    before = run(model)

    made = prepared(model)

    assert [node.op_type for node in made.graph.node] == ["Cast", "Mul"]
    assert run(made) == pytest.approx(before)


def test_constants_that_are_outputs_or_text_stay_nodes(build: Build) -> None:
    model = build('output0 = Constant <value_float = 2.0> () text = Constant <value_string = "a"> ()', {})

    assert [node.op_type for node in prepared(model).graph.node] == ["Constant", "Constant"]


def test_nodes_get_names(build: Build) -> None:
    model = build("a = Relu (images) output0 = Relu (a)", {})
    for node in model.graph.node:
        node.ClearField("name")

    assert [node.name for node in prepared(model).graph.node] == ["Relu_0", "Relu_1"]


def test_an_operator_that_is_no_more_is_refused() -> None:
    model = old("output0 = Warp (images)", opset=11)

    with pytest.raises(ModelError, match="cannot be raised from opset 11 to 17") as caught:
        raised(model)

    assert "Export it at opset 17" in caught.value.hint


def test_what_is_no_valid_onnx_is_refused() -> None:
    model = old("output0 = Conv (images, missing)", opset=17)

    with pytest.raises(
        ModelError, match="no valid ONNX model: Nodes in a graph must be topologically sorted"
    ):
        prepared(model)
