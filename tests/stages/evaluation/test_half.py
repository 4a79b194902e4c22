"""Half simulation: FP32 operators whose results are those of FP16 ones."""

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto, helper, numpy_helper, parser

from stages.evaluation.half import half_simulated
from stages.tensor_types import tensor_types
from targets.errors import ModelError

# Operators that are exact but for one rounding, in FP16 between two casts.
TYPED = """
    h = Cast <to = 10> (x)
    s = Div (h, k)
    b = Mul (s, h)
    c = Add (b, k)
    d = Abs (c)
    e = Sqrt (d)
    f = Sub (e, h)
    t = Transpose (f)
    y = Cast <to = 1> (t)
"""


def typed(text: str = TYPED, *, source: str = "float[64] x", result: str = "float[64] y") -> onnx.ModelProto:
    model = parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 17]> g ({source}) => ({result}) {{{text}}}'
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array(0.3, np.float16), "k"))
    return model


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


@given(x=hnp.arrays(np.float32, 64, elements=st.floats(-500, 500, width=32)))
def test_it_computes_what_numpy_computes_in_half(x: np.ndarray) -> None:
    k = np.float16(0.3)
    with np.errstate(over="ignore", under="ignore"):
        h = x.astype(np.float16)
        expected = np.sqrt(np.abs(h / k * h + k)) - h

    found = run(half_simulated(typed()), x)

    assert expected.dtype == np.float16
    assert np.array_equal(found, expected.astype(np.float32))


@given(x=hnp.arrays(np.float32, 64, elements=st.floats(width=32, allow_nan=False)))
def test_a_cast_rounds_to_nearest_overflows_and_vanishes_as_half_does(x: np.ndarray) -> None:
    model = half_simulated(typed("h = Cast <to = 10> (x) y = Cast <to = 1> (h)"))

    with np.errstate(over="ignore"):
        expected = x.astype(np.float16).astype(np.float32)
    assert np.array_equal(run(model, x), expected)


def test_onnx_runtime_by_itself_does_not_round() -> None:
    """The reason for the simulation; should it fail one day, the simulation is needed no more."""
    x = np.linspace(1, 1000, 64, dtype=np.float32)
    steps = "h = Cast <to = 10> (x) s = Sigmoid (h) b = Mul (s, h) c = Sqrt (b) d = Mul (b, c)"
    model = typed(f"{steps} y = Cast <to = 1> (d)")
    in_float = (x / (1 + np.exp(-x))) ** 1.5

    assert np.abs(run(model, x) - in_float).max() < 0.01
    assert np.abs(run(half_simulated(model), x) - in_float).max() > 1


def test_no_half_type_is_left_but_between_two_casts() -> None:
    model = half_simulated(typed())

    onnx.checker.check_model(model, full_check=True)
    half = {name for name, kind in tensor_types(model).items() if kind == TensorProto.FLOAT16}
    casts = [node for node in model.graph.node if node.op_type == "Cast"]
    assert half == {node.output[0] for node in casts if node.attribute[0].i == TensorProto.FLOAT16}
    assert half <= {node.input[0] for node in casts}


def test_what_only_moves_values_is_not_rounded_again() -> None:
    names = [node.output[0] for node in half_simulated(typed()).graph.node]

    assert "s_half" in names
    assert not {"t_half", "d_half"} & set(names)


def test_a_float_model_stays_as_it_is() -> None:
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> g (float[4] x) => (float[4] y) { y = Relu (x) }'
    )

    assert half_simulated(model) == model


def test_half_inputs_and_outputs_become_float() -> None:
    model = half_simulated(typed("y = Mul (x, k)", source="float16[64] x", result="float16[64] y"))

    found = run(model, np.full(64, 0.5, np.float32))

    assert found.dtype == np.float32
    assert found[0] == np.float16(0.5) * np.float16(0.3)


def test_constants_within_nodes_are_widened() -> None:
    model = typed(
        "n = Shape (x) z = ConstantOfShape (n) o = Constant () p = Add (z, o) y = Cast <to = 1> (p)"
    )
    for place, value in ((1, np.array([0.1], np.float16)), (2, np.array(1, np.float16))):
        stored = helper.make_attribute("value", numpy_helper.from_array(value))
        model.graph.node[place].attribute.append(stored)

    found = run(half_simulated(model), np.zeros(64, np.float32))

    assert found[0] == np.float16(1) + np.float16(0.1)


def test_a_constant_that_is_cut_off_is_refused() -> None:
    model = typed()
    model.graph.initializer[0].raw_data = b""

    with pytest.raises(ModelError, match="'k' is cut off"):
        half_simulated(model)


def test_bf16_is_refused() -> None:
    with pytest.raises(ModelError, match="BF16"):
        half_simulated(typed("h = Cast <to = 16> (x) y = Cast <to = 1> (h)"))


def test_half_within_a_body_is_refused() -> None:
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> g (float[64] x, bool yes) => (float[64] y) {'
        " h = Cast <to = 10> (x)"
        " i = If (yes) <then_branch = one () => (float16[64] p) { p = Identity (h) },"
        "               else_branch = two () => (float16[64] q) { q = Mul (h, h) }>"
        " y = Cast <to = 1> (i) }"
    )

    with pytest.raises(ModelError, match="FP16 within a body"):
        half_simulated(model)
