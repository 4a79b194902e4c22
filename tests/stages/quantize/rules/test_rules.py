"""Rules: what the quantizer makes is taken by every target, and each planted breach is found."""

from collections.abc import Callable, Mapping

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from stages.quantize.graph import name_nodes
from stages.quantize.insert import insert_qdq
from stages.quantize.placement import place
from stages.quantize.ranges import Grid
from stages.quantize.rules import Rules, breaches, refuse_breaches, rules_for
from targets.errors import ModelError, UnsupportedError, UsageError
from targets.profile import Dialect, RuntimeName

Build = Callable[..., onnx.ModelProto]
HALF = Dialect(opset=19, scale_dtype="float16")
TENSORRT = ("8.5", "8.6", "10.0", "10.3", "10.16", "11")

# A residual block as an exporter writes it, with Q/DQ as it should be.
BLOCK = """
    q = QuantizeLinear (images, scale, zero)
    x = DequantizeLinear (q, scale, zero)
    w0 = DequantizeLinear <axis = 0> (w0_int, w_scale, w_zero)
    c0 = Conv <pads = [1, 1, 1, 1]> (x, w0, bias)
    s0 = Sigmoid (c0)
    a0 = Mul (c0, s0)
    q0 = QuantizeLinear (a0, scale, zero)
    x0 = DequantizeLinear (q0, scale, zero)
    w1 = DequantizeLinear <axis = 0> (w1_int, w_scale, w_zero)
    c1 = Conv <pads = [1, 1, 1, 1]> (x0, w1)
    s1 = Sigmoid (c1)
    a1 = Mul (c1, s1)
    output0 = Add (x, a1)
"""
STORED: Mapping[str, np.ndarray] = {
    "scale": np.array(0.02, np.float32),
    "zero": np.array(0, np.int8),
    "w0_int": np.full((3, 3, 3, 3), 5, np.int8),
    "w1_int": np.full((3, 3, 3, 3), 7, np.int8),
    "w_scale": np.array([0.1, 0.2, 0.3], np.float32),
    "w_zero": np.zeros(3, np.int8),
    "bias": np.ones(3, np.float32),
}


def block(
    *edits: tuple[str, str], opset: int = 17, kind: str = "float", **stored: np.ndarray
) -> onnx.ModelProto:
    """Give the block with lines of its text replaced, and other constants."""
    text = BLOCK
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    shape = f"{kind}[1, 3, 8, 8]"
    model = parser.parse_model(
        f'<ir_version: 8, opset_import: ["": {opset}]> block ({shape} images) => ({shape} output0) {{{text}}}'
    )
    for name, values in {**STORED, **stored}.items():
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    for node in model.graph.node:
        node.name = node.output[0]
    return model


def tensorrt(version: str = "8.5") -> Rules:
    return rules_for("tensorrt", version, Dialect())


def halved(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float16)


HALVES = {name: halved(STORED[name]) for name in ("scale", "w_scale", "bias")}


@pytest.mark.parametrize("version", TENSORRT)
def test_what_the_quantizer_makes_is_taken_by_every_version(version: str, detector: onnx.ModelProto) -> None:
    placement = place(detector, exclude=("head",))
    model = insert_qdq(detector, placement, dict.fromkeys(placement.activations, Grid(0.01)))

    assert breaches(model, tensorrt(version)) == []
    assert breaches(block(), tensorrt(version)) == []


@pytest.mark.parametrize("version", ["10.0", "10.3", "10.16", "11.4.1"])
def test_half_precision_graphs_are_taken_from_ten_on(version: str) -> None:
    model = block(opset=19, kind="float16", **HALVES)

    assert breaches(model, rules_for("tensorrt", version, HALF)) == []


def pair(source: str, result: str) -> str:
    """Give the text of a Q/DQ pair."""
    return (
        f" {source}_q = QuantizeLinear ({source}, scale, zero)"
        f" {result} = DequantizeLinear ({source}_q, scale, zero)"
    )


FIRST_CONV = "c0 = Conv <pads = [1, 1, 1, 1]> (x, w0, bias)"
SECOND_DQ = "x0 = DequantizeLinear (q0, scale, zero)"
OTHER_SCALE = ("(q0, scale, zero)", "(q0, other, zero)")
BAD_SCALE = "x0: scales have to be finite and above 0"
ALL = ("q", "x", "w0", "q0", "x0", "w1")

PLANTED = {
    "two inputs": (
        block((SECOND_DQ, "x0 = DequantizeLinear (q0, scale)")),
        ["x0: 2 inputs, TensorRT 8.5 wants 3"],
    ),
    "negative scale": (block(OTHER_SCALE, other=np.array(-0.02, np.float32)), [BAD_SCALE]),
    "infinite scale": (block(OTHER_SCALE, other=np.array(np.inf, np.float32)), [BAD_SCALE]),
    "scale that is no number": (block(OTHER_SCALE, other=np.array(np.nan, np.float32)), [BAD_SCALE]),
    "scale of zero": (
        block(w_scale=np.array([0.1, 0, 0.3], np.float32)),
        [f"w{number}: scales have to be finite and above 0" for number in (0, 1)],
    ),
    "computed scale": (
        block((SECOND_DQ, f"m = ReduceMax <keepdims = 0> (a0) {SECOND_DQ}"), ("(q0, scale,", "(q0, m,")),
        ["x0: its scale is computed, it has to be constant"],
    ),
    "zero point": (
        block(("(q0, scale, zero)", "(q0, scale, other)"), other=np.array(3, np.int8)),
        ["x0: its zero point is not 0"],
    ),
    "computed zero point": (
        block((SECOND_DQ, f"m = Sub (zero, zero) {SECOND_DQ}"), ("(q0, scale, zero)", "(q0, scale, m)")),
        ["x0: its zero point is computed, it has to be constant"],
    ),
    "unsigned": (
        block(("(images, scale, zero)", "(images, scale, u)"), ("(q, scale, zero)", "(q, scale, u)"),
              u=np.array(0, np.uint8)),
        [
            "q: its zero point is UINT8, not INT8",
            "x: its zero point is UINT8, not INT8",
            "x: it dequantizes UINT8, TensorRT 8.5 takes INT8",
        ],
    ),
    "sizes differ": (
        block(w_zero=np.zeros(1, np.int8)),
        [f"w{number}: 3 scales, but 1 zero points" for number in (0, 1)],
    ),
    "activation per channel": (
        block(("(a0, scale, zero)", "(a0, w_scale, w_zero)"), ("(q0, scale, zero)", "(q0, w_scale, w_zero)")),
        [f"{name}: 3 scales for an activation, which may have one" for name in ("q0", "x0")],
    ),
    "wrong axis": (
        block(("w1 = DequantizeLinear <axis = 0>", "w1 = DequantizeLinear <axis = 1>")),
        ["w1: scales along axis 1, the output channels of c1 are axis 0"],
    ),
    "no axis": (
        block(("w1 = DequantizeLinear <axis = 0>", "w1 = DequantizeLinear")),
        [
            "w1: it names no axis, which is 1 in ONNX and 0 in TensorRT 8.5",
            "w1: scales along axis 1, the output channels of c1 are axis 0",
        ],
    ),
    "number of scales": (
        block(("(w1_int, w_scale, w_zero)", "(w1_int, four, fours)"),
              four=np.ones(4, np.float32), fours=np.zeros(4, np.int8)),
        ["w1: 4 scales for 3 channels on axis 0"],
    ),
    "quantized bias": (
        block((FIRST_CONV, f"b = DequantizeLinear <axis = 0> (b_int, w_scale, b_zero) {FIRST_CONV}"),
              ("w0, bias)", "w0, b)"), b_int=np.ones(3, np.int32), b_zero=np.zeros(3, np.int32)),
        ["b: it quantizes the bias of c0, which has to be float"],
    ),
    "INT32": (
        block((FIRST_CONV, f"b = DequantizeLinear <axis = 0> (b_int, w_scale, b_zero) {FIRST_CONV}"),
              b_int=np.ones(3, np.int32), b_zero=np.zeros(3, np.int32)),
        ["b: it dequantizes INT32, which TensorRT does not"],
    ),
    "operator on INT8": (
        block((SECOND_DQ, f"p = MaxPool <kernel_shape = [1, 1]> (q0) {SECOND_DQ}"),
              ("(q0, scale", "(p, scale")),
        ["q0: a DequantizeLinear has to follow, not MaxPool",
         "x0: a QuantizeLinear has to be before it, not MaxPool"],
    ),
    "nothing after it": (
        block((SECOND_DQ, f"{SECOND_DQ} end = QuantizeLinear (a0, scale, zero)")),
        ["end: a DequantizeLinear has to follow, not the end"],
    ),
    "before the activation": (
        block((FIRST_CONV, FIRST_CONV.replace("c0", "c") + pair("c", "c0"))),
        ["c_q: it comes between c and its activation s0",
         "a0: an input is quantized, within the activation of a convolution"],
    ),
    "within the activation": (
        block(("s1 = Sigmoid (c1)", "s = Sigmoid (c1)" + pair("s", "s1"))),
        ["a1: an input is quantized, within the activation of a convolution"],
    ),
    "both inputs of an Add": (
        block(("output0 = Add (x, a1)", pair("a1", "x1") + " output0 = Add (x, x1)")),
        ["output0: both inputs are quantized, that of the convolution's side has to be float"],
    ),
    "the wrong input of an Add": (
        block(("output0 = Add (x, a1)", pair("a1", "x1") + " output0 = Add (images, x1)")),
        ["output0: it is quantized on the convolution's side, not on the shortcut"],
    ),
    "opset": (block(opset=19), ["opset 19, TensorRT 8.5 reads up to 17"]),
    "FP16 scales": (
        block(opset=19, kind="float16", **HALVES),
        [*(f"{name}: its scale is FLOAT16, TensorRT 8.5 does not read that" for name in ALL),
         "opset 19, TensorRT 8.5 reads up to 17"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("model", "expected"), PLANTED.values(), ids=PLANTED.keys())
def test_a_planted_breach_is_found_and_nothing_else(model: onnx.ModelProto, expected: list[str]) -> None:
    assert sorted(breaches(model, tensorrt("8.5"))) == sorted(expected)


def test_without_a_zero_point_onnx_makes_uint8() -> None:
    model = block(("q0 = QuantizeLinear (a0, scale, zero)", "q0 = QuantizeLinear (a0, scale)"))

    assert breaches(model, tensorrt("10.3"))[0] == "q0: it has no zero point, so it makes UINT8, not INT8"


def test_a_dequantizelinear_needs_no_zero_point_from_ten_on() -> None:
    model = block((SECOND_DQ, "x0 = DequantizeLinear (q0, scale)"))

    assert breaches(model, tensorrt("10.3")) == []


@pytest.mark.parametrize(
    ("version", "found"),
    [
        ("10.3", ["q: FLOAT16 data with a scale in FLOAT, in a strongly typed network"]),
        ("10.15", ["q: FLOAT16 data with a scale in FLOAT, in a strongly typed network"]),
        ("10.16", []),
        ("11", []),
    ],
)
def test_float_scales_go_with_half_data_from_10_16_on(version: str, found: list[str]) -> None:
    model = block(
        ("q = QuantizeLinear", "h = Cast <to = 10> (images) q = QuantizeLinear"),
        ("(images, scale", "(h, scale"),
        opset=20,
    )

    assert breaches(model, tensorrt(version)) == found


@pytest.mark.parametrize("version", ["10.3", "10.16", "11"])
def test_a_half_scale_needs_half_data_in_every_version(version: str) -> None:
    model = block(
        ("q0 = QuantizeLinear (a0, scale", "q0 = QuantizeLinear (a0, half"), opset=20, half=HALVES["scale"]
    )

    assert breaches(model, tensorrt(version)) == [
        "q0: FLOAT data with a scale in FLOAT16, in a strongly typed network"
    ]


def test_half_precision_below_opset_19_is_no_onnx() -> None:
    model = block(opset=18, kind="float16", **HALVES)

    found = breaches(model, tensorrt("10.3"))

    assert [f"{name}: FP16 at opset 18; ONNX allows it from 19 on" in found for name in ALL] == [True] * 6


def test_constants_may_be_nodes_and_behind_a_cast() -> None:
    model = block(
        ("q0 = QuantizeLinear (a0, scale, zero)",
         "k = Constant <value = float {0.02}> () h = Cast <to = 1> (k) q0 = QuantizeLinear (a0, h, zero)"),
    )  # fmt: skip

    assert breaches(model, tensorrt("8.5")) == []


@pytest.mark.parametrize(
    ("operator", "shape", "axis"),
    [
        ("ConvTranspose", (3, 4, 2, 2), 1),
        ("Gemm", (3, 4), 1),
        ("Gemm <transB = 1>", (4, 3), 0),
        ("MatMul", (3, 4), 1),
        ("MatMul", (2, 3, 4), 2),
    ],
)
def test_the_axis_is_that_of_the_output_channels(operator: str, shape: tuple[int, ...], axis: int) -> None:
    def model(along: int) -> onnx.ModelProto:
        count = shape[along]
        made = parser.parse_model(
            '<ir_version: 8, opset_import: ["": 17]> g (float[n] x) => (float[m] y)'
            f"{{ v = DequantizeLinear <axis = {along}> (w, s, z) y = {operator} (x, v) }}"
        )
        stored = (np.ones(shape, np.int8), np.ones(count, np.float32), np.zeros(count, np.int8))
        for name, values in zip("wsz", stored, strict=True):
            made.graph.initializer.append(numpy_helper.from_array(values, name))
        return name_nodes(made)

    found = {along: breaches(model(along), tensorrt()) for along in range(len(shape))}

    assert found.pop(axis) == []
    assert all(f"are axis {axis}" in one for [one] in found.values())


def test_an_add_that_no_convolution_could_fuse_may_read_int8_on_both_sides() -> None:
    both = pair("a1", "x1") + pair("p", "x2") + " output0 = Add (x1, x2)"
    pooled = block(("a1 = Mul (c1, s1)", "m = Mul (c1, s1) a1 = MaxPool <kernel_shape = [1, 1]> (m)"),
                   ("output0 = Add (x, a1)", "p = Sqrt (x)" + both))  # fmt: skip

    assert breaches(pooled, tensorrt()) == []


def test_the_branch_of_a_residual_may_be_int8_where_it_does_not_end_in_a_convolution() -> None:
    text = "m = MaxPool <kernel_shape = [1, 1]> (a1)" + pair("m", "x1") + " output0 = Add (images, x1)"

    assert breaches(block(("output0 = Add (x, a1)", text)), tensorrt()) == []


def test_whatever_stands_in_a_body_is_not_vouched_for() -> None:
    model = block()
    body = helper.make_graph(
        [helper.make_node("QuantizeLinear", ["images", "scale", "zero"], ["within"])],
        "body",
        [],
        [helper.make_tensor_value_info("within", TensorProto.INT8, None)],
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    model.graph.node.append(
        helper.make_node("If", ["yes"], ["either"], "choice", then_branch=body, else_branch=body)
    )

    assert breaches(model, tensorrt()) == [
        "Q/DQ within the body of an If, Loop, Scan or function, which no parser is known to take"
    ]


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "null"])
def test_cpu_runtimes_take_zero_points_and_any_placement(runtime: RuntimeName) -> None:
    both = ("output0 = Add (x, a1)", pair("a1", "x1") + " output0 = Add (x, x1)")
    rules = rules_for(runtime, "", Dialect(symmetric=False))

    assert breaches(block(both, zero=np.array(128, np.uint8)), rules) == []
    assert (
        breaches(block(("(a0, scale, zero)", "(a0, scale)"), ("(q0, scale, zero)", "(q0, scale)")), rules)
        == []
    )
    assert breaches(block(OTHER_SCALE, other=np.array(0, np.float32)), rules) == [BAD_SCALE]


def test_a_refusal_names_the_first_breaches_and_counts_the_others() -> None:
    model = block(zero=np.array(0, np.uint8))

    with pytest.raises(ModelError) as caught:
        refuse_breaches(model, tensorrt("8.5"))

    assert "TensorRT 8.5 would not take the graph" in caught.value.what
    assert "q: its zero point is UINT8, not INT8" in caught.value.what
    assert caught.value.what.endswith("; and 1 more.")


def test_a_graph_that_keeps_the_rules_is_not_refused() -> None:
    refuse_breaches(block(), tensorrt("8.5"))


@pytest.mark.parametrize(
    ("version", "dialect", "reason"),
    [
        ("8.5", HALF, "opset 19, it reads up to 17; FP16 scales, it reads FP32"),
        ("10.3", Dialect(opset=21), "opset 21, it reads up to 20"),
        (
            "10.3",
            Dialect(opset=17, scale_dtype="float16"),
            "FP16 scales at opset 17, ONNX has them from 19 on",
        ),
        ("11", Dialect(symmetric=False), "zero points other than 0"),
    ],
)
def test_a_dialect_that_the_runtime_does_not_take_is_a_mistake_in_the_profile(
    version: str, dialect: Dialect, reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        rules_for("tensorrt", version, dialect)


@pytest.mark.parametrize("version", ["8.0", "", "new"])
def test_versions_that_nothing_is_known_of_are_unsupported(version: str) -> None:
    with pytest.raises(UnsupportedError, match="no operator table"):
        rules_for("tensorrt", version, Dialect())


def test_the_model_is_left_as_it_was() -> None:
    model = block()
    for node in model.graph.node:
        node.name = ""
    before = model.SerializeToString()

    assert breaches(model, tensorrt()) == []
    assert model.SerializeToString() == before
