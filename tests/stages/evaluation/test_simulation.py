"""Float simulation: the same as ONNX's definition of Q/DQ, with no integer kernel in sight."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto, helper, numpy_helper, parser
from onnx.reference import ReferenceEvaluator

from stages.evaluation.qdq import is_quantized
from stages.evaluation.simulation import open_simulation, simulated
from targets.errors import ModelError, UnsupportedError
from targets.profile import TargetProfile

HERE = TargetProfile(name="here", device="this machine", runtime="onnxruntime")
SIDE = 6
NEAR = 1e-3  # of a step: values as near to the border between two integers could fall to either side


def run(model: onnx.ModelProto, **inputs: np.ndarray) -> list[np.ndarray]:
    """Compute with all optimisations of ONNX Runtime, and see that nothing quantized is left to it."""
    assert not is_quantized(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def model_of(text: str, *, opset: int = 17, **constants: np.ndarray) -> onnx.ModelProto:
    """Give a model from the text of its graph, with constants; nodes are named after their outputs."""
    model = parser.parse_model(f'<ir_version: 10, opset_import: ["": {opset}]> {text}')
    for name, values in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    for node in model.graph.node:
        node.name = node.output[0]
    onnx.checker.check_model(model)
    return model


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


# ------------------------------------------------------------------------------------ random graphs


class Growing:
    """A random model under construction, with what each tensor is by ONNX's definition."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.values = {"images": self.random.random((1, 4, SIDE, SIDE), np.float32)}
        self.tensors = ["images"]
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[TensorProto] = []

    def constant(self, values: np.ndarray) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        self.values[name] = values
        return name

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: object) -> list[str]:
        names = [f"t{len(self.nodes)}_{number}" for number in range(outputs)]
        node = helper.make_node(operator, list(inputs), names, names[0], **attributes)
        found = ReferenceEvaluator(node, opsets={"": 19}).run(
            None, {one: self.values[one] for one in inputs if one}
        )
        self.values |= dict(zip(names, found, strict=True))
        self.nodes.append(node)
        return names

    def pair(self, name: str, kind: type, axis: int | None) -> str:
        """Add a Q/DQ pair with a random scale that puts no value onto a border."""
        values = self.values[name]
        channels = 1 if axis is None else values.shape[axis]
        zero_points = self.random.integers(-20, 20, channels) + (128 if kind is np.uint8 else 0)
        shape = [1] * values.ndim
        shape[axis or 0] = channels
        scales = (np.abs(values).max() or 1.0) * self.random.uniform(0.004, 0.02, channels).astype(np.float32)
        while near_a_border(values / scales.reshape(shape)):
            scales *= np.float32(1.0137)
        if axis is None:
            scales, zero_points = scales[0], zero_points[0]
        names = [self.constant(np.asarray(scales, np.float32)), self.constant(np.asarray(zero_points, kind))]
        attributes = {} if axis is None else {"axis": axis}
        [integers] = self.add("QuantizeLinear", name, *names, **attributes)
        return self.add("DequantizeLinear", integers, *names, **attributes)[0]

    def weight(self, *shape: int, quantized: bool) -> str:
        """Add a weight, as floats or as integers with a scale for each output channel."""
        if not quantized:
            return self.constant(self.random.normal(size=shape).astype(np.float32))
        integers = self.constant(self.random.integers(-127, 128, shape).astype(np.int8))
        scales = self.constant(self.random.uniform(0.002, 0.01, shape[0]).astype(np.float32))
        zero_points = self.constant(np.zeros(shape[0], np.int8))
        return self.add("DequantizeLinear", integers, scales, zero_points, axis=0)[0]

    def model(self) -> onnx.ModelProto:
        """Give the model; its outputs are the tensors that nobody reads."""
        read = {name for node in self.nodes for name in node.input}
        leaves = [name for name in self.tensors if name not in read]
        graph = helper.make_graph(
            self.nodes,
            "grown",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 4, SIDE, SIDE])],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, self.values[name].shape)
                for name in leaves
            ],
            self.constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def near_a_border(steps: np.ndarray) -> bool:
    return bool((np.abs(steps - np.floor(steps) - 0.5) < NEAR).any())


def convolution(growing: Growing, name: str, quantized: bool) -> list[str]:
    weight = growing.weight(4, 4, 3, 3, quantized=quantized)
    bias = growing.constant(growing.random.normal(size=4).astype(np.float32))
    return growing.add("Conv", name, weight, bias, pads=[1, 1, 1, 1])


def silu(growing: Growing, name: str, _: bool) -> list[str]:
    [share] = growing.add("Sigmoid", name)
    return growing.add("Mul", name, share)


def addition(growing: Growing, name: str, _: bool) -> list[str]:
    return growing.add("Add", name, growing.random.choice(growing.tensors))


def there_and_back(growing: Growing, name: str, _: bool) -> list[str]:
    """Concat and Split."""
    [joined] = growing.add("Concat", name, growing.random.choice(growing.tensors), axis=1)
    sizes = growing.constant(np.array([4, 4]))
    return growing.add("Split", joined, sizes, outputs=2, axis=1)


def pooling(growing: Growing, name: str, _: bool) -> list[str]:
    return growing.add("MaxPool", name, kernel_shape=[3, 3], pads=[1, 1, 1, 1])


def resizing(growing: Growing, name: str, _: bool) -> list[str]:
    nearest = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
    factors = growing.constant(np.array([1, 1, 2, 2], np.float32))
    [large] = growing.add("Resize", name, "", factors, **nearest)
    return growing.add("MaxPool", large, kernel_shape=[2, 2], strides=[2, 2])


def turning(growing: Growing, name: str, _: bool) -> list[str]:
    return growing.add("Transpose", name, perm=[0, 1, 3, 2])


def product(growing: Growing, name: str, quantized: bool) -> list[str]:
    return growing.add("MatMul", name, growing.weight(SIDE, SIDE, quantized=quantized))


BLOCKS = (convolution, silu, addition, there_and_back, pooling, resizing, turning, product)
KINDS = st.sampled_from([np.int8, np.uint8])


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_on_random_graphs_it_equals_the_numpy_reference(data: st.DataObject) -> None:
    growing = Growing(data.draw(st.integers(0, 2**32 - 1)))
    for _ in range(data.draw(st.integers(1, 6))):
        block = data.draw(st.sampled_from(BLOCKS))
        name = data.draw(st.sampled_from(growing.tensors))
        if data.draw(st.booleans()):
            name = growing.pair(name, data.draw(KINDS), data.draw(st.sampled_from([None, None, 1])))
        growing.tensors += block(growing, name, data.draw(st.booleans()))
    growing.tensors.append(growing.pair(growing.tensors[-1], np.int8, None))
    model = growing.model()

    found = run(simulated(model), images=growing.values["images"])

    expected = ReferenceEvaluator(model).run(None, {"images": growing.values["images"]})
    for one, reference in zip(found, expected, strict=True):
        assert np.abs(one - reference).max() <= 1e-5 * max(np.abs(reference).max(), 1e-30)


# ------------------------------------------------------------------------------------ one pair

SCALES = st.floats(2.0**-20, 2.0**20, width=32)
VALUES = hnp.arrays(np.float32, (2, 3), elements=st.floats(-(2.0**27), 2.0**27, width=32))


@settings(deadline=None)
@given(values=VALUES, scale=SCALES, kind=KINDS, zero_point=st.integers(-128, 127))
def test_a_pair_rounds_as_onnx_defines_to_the_last_bit(
    values: np.ndarray, scale: float, kind: type, zero_point: int
) -> None:
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    zero = kind(zero_point - np.iinfo(np.int8).min + low)
    model = model_of(
        "pair (float[2, 3] x) => (float[2, 3] y) "
        "{ q = QuantizeLinear (x, s, z) y = DequantizeLinear (q, s, z) }",
        s=np.float32(scale),
        z=np.asarray(zero),
    )

    [found] = run(simulated(model), x=values)

    integers = np.clip(np.rint(values / np.float32(scale)) + np.float32(zero), low, high)
    assert (found == (integers - np.float32(zero)) * np.float32(scale)).all()


def test_halves_go_to_the_even_neighbour() -> None:
    model = model_of(
        "pair (float[6] x) => (float[6] y) { q = QuantizeLinear (x, s, z) y = DequantizeLinear (q, s, z) }",
        s=np.float32(1),
        z=np.int8(0),
    )

    [found] = run(simulated(model), x=np.array([0.5, 1.5, 2.5, -0.5, -1.5, 300], np.float32))

    assert found.tolist() == [0, 2, 2, 0, -2, 127]


def test_without_a_zero_point_integers_are_unsigned() -> None:
    model = model_of(
        "pair (float[3] x) => (float[3] y) { q = QuantizeLinear (x, s) y = DequantizeLinear (q, s) }",
        s=np.float32(2),
    )

    assert run(simulated(model), x=np.array([-7, 7, 999], np.float32))[0].tolist() == [0, 8, 510]


@pytest.mark.parametrize("axis", [1, -2])
def test_channels_have_their_own_scales_and_zero_points(axis: int) -> None:
    model = model_of(
        "pair (float[1, 2, 3] x) => (float[1, 2, 3] y) "
        f"{{ q = QuantizeLinear <axis = {axis}> (x, s, z) y = DequantizeLinear <axis = {axis}> (q, s, z) }}",
        s=np.array([1, 0.25], np.float32),
        z=np.array([5, -3], np.int8),
    )

    [found] = run(simulated(model), x=np.array([[[0.4, 0.6, 130], [0.4, 0.6, -99]]], np.float32))

    assert found.tolist() == [[[0, 1, 122], [0.5, 0.5, -31.25]]]


def test_fp16_graphs_round_in_fp32_and_keep_their_types() -> None:
    scale = np.float16(0.0137)
    values = np.linspace(-3, 3, 997).astype(np.float16)
    model = model_of(
        "pair (float16[997] x) => (float16[997] y) "
        "{ q = QuantizeLinear (x, s, z) y = DequantizeLinear (q, s, z) }",
        opset=19,
        s=scale,
        z=np.int8(0),
    )

    [found] = run(simulated(model), x=values)

    integers = np.clip(np.rint(values.astype(np.float32) / np.float32(scale)), -128, 127)
    assert found.dtype == np.float16
    assert (found == (integers * np.float32(scale)).astype(np.float16)).all()


# ------------------------------------------------------------------------------------ constants


def test_a_stored_weight_becomes_a_float_initializer_and_its_integers_go() -> None:
    model = model_of(
        "toy (float[1, 2, 4, 4] x) => (float[1, 3, 4, 4] y) "
        "{ w = DequantizeLinear <axis = 0> (i, s, z) y = Conv (x, w) }",
        i=np.arange(6, dtype=np.int8).reshape(3, 2, 1, 1),
        s=np.array([1, 2, 4], np.float32),
        z=np.array([0, 1, 0], np.int8),
    )

    result = simulated(model)

    assert operators(result) == ["Conv"]
    assert {one.name: numpy_helper.to_array(one).ravel().tolist() for one in result.graph.initializer} == {
        "w": [0, 1, 2, 4, 16, 20]
    }


def test_a_weight_that_is_stored_in_float_is_rounded_too() -> None:
    model = model_of(
        "toy (float[1, 4] x) => (float[1, 2] y) "
        "{ q = QuantizeLinear (v, s, z) w = DequantizeLinear (q, s, z) y = MatMul (x, w) }",
        v=np.full((4, 2), 0.6, np.float32),
        s=np.float32(1),
        z=np.int8(0),
    )

    assert run(simulated(model), x=np.ones((1, 4), np.float32))[0].tolist() == [[4, 4]]


def test_a_bias_of_32_bits_is_as_exact_as_floats_are() -> None:
    bias = np.array([2**30 + 128, -5], np.int32)
    model = model_of(
        "toy (float[1, 1, 2, 2] x) => (float[1, 2, 2, 2] y) "
        "{ b = DequantizeLinear <axis = 0> (i, s) y = Conv (x, w, b) }",
        i=bias,
        s=np.array([2.0**-10, 0.5], np.float32),
        w=np.zeros((2, 1, 1, 1), np.float32),
    )

    [found] = run(simulated(model), x=np.ones((1, 1, 2, 2), np.float32))

    assert found[0, :, 0, 0].tolist() == [2.0**20 + 2.0**-3, -2.5]


def test_scales_may_come_from_constant_nodes() -> None:
    model = model_of(
        "pair (float[2] x) => (float[2] y) "
        "{ s = Constant <value_float = 0.5> () z = Constant <value = int8 {1}> () "
        "q = QuantizeLinear (x, s, z) y = DequantizeLinear (q, s, z) }"
    )

    assert run(simulated(model), x=np.array([0.6, 99], np.float32))[0].tolist() == [0.5, 63]


def test_a_constant_that_another_node_reads_stays() -> None:
    model = model_of(
        "toy (float[4] x) => (float[4] y, int8[4] z) "
        "{ w = DequantizeLinear (i, s) y = Add (x, w) z = Identity (i) }",
        i=np.arange(4, dtype=np.int8),
        s=np.float32(1),
    )

    assert run(simulated(model), x=np.zeros(4, np.float32))[1].tolist() == [0, 1, 2, 3]


# ------------------------------------------------------------------------------------ the ends


def test_integers_that_operators_move_stay_integers() -> None:
    model = model_of(
        "toy (float[1, 1, 2, 2] x) => (float[1, 2, 2, 2] y) { q = QuantizeLinear (x, s, z) "
        "m = MaxPool <kernel_shape = [2, 2], pads = [0, 0, 1, 1]> (q) c = Concat <axis = 1> (m, q) "
        "y = DequantizeLinear (c, s, z) }",
        s=np.float32(0.5),
        z=np.int8(-7),
    )
    values = np.array([[[[0.6, -1], [-70, 1e9]]]], np.float32)

    [found] = run(simulated(model), x=values)

    assert found[0, 1].tolist() == [[0.5, -1], [-60.5, 67]]
    assert found[0, 0].tolist() == [[67, 67], [67, 67]]


def test_a_graph_may_begin_and_end_with_integers() -> None:
    model = model_of(
        "toy (uint8[3] a) => (uint8[3] b, float[3] c) { x = DequantizeLinear (a, s, z) y = Neg (x) "
        "b = QuantizeLinear (y, s, z) c = DequantizeLinear (b, s, z) }",
        s=np.float32(0.5),
        z=np.uint8(128),
    )

    integers, floats = run(simulated(model), a=np.array([0, 100, 255], np.uint8))

    assert (integers.dtype, integers.tolist()) == (np.uint8, [255, 156, 1])
    assert floats.tolist() == [63.5, 14, -63.5]


def test_names_that_look_like_ours_are_no_trouble() -> None:
    model = model_of(
        "toy (float[2] x) => (float[2] y, float[2] x_Cast) { x_Cast = Neg (x) q_scale = Abs (x) "
        "q = QuantizeLinear (x, s, z) d = DequantizeLinear (q, s, z) y = Add (d, q_scale) }",
        s=np.float32(1),
        z=np.int8(0),
    )

    found = run(simulated(model), x=np.array([-1.2, 2.6], np.float32))

    assert [one.tolist() for one in found] == [pytest.approx([0.2, 5.6]), pytest.approx([1.2, -2.6])]


def test_a_body_that_reads_the_integers_of_the_graph_around_it_still_can() -> None:
    model = model_of(
        "toy (float[2] x, bool c) => (int8[2] y) { q = QuantizeLinear (x, s, z) "
        "y = If (c) <then_branch = a () => (int8[2] t) { t = Identity (q) }, "
        "else_branch = b () => (int8[2] e) { e = Identity (z2) }> }",
        s=np.float32(1),
        z=np.int8(0),
        z2=np.array([7, 7], np.int8),
    )

    for condition, expected in ((True, [1, -128]), (False, [7, 7])):
        found = run(simulated(model), x=np.array([1.2, -999], np.float32), c=np.array(condition))
        assert found[0].tolist() == expected


def test_the_model_given_is_left_as_it_was() -> None:
    model = model_of(
        "toy (float[3] x) => (float[3] y) { q = QuantizeLinear (x, s) y = DequantizeLinear (q, s) }",
        s=np.float32(2),
    )
    before = model.SerializeToString()

    simulated(model)

    assert model.SerializeToString() == before


# ------------------------------------------------------------------------------------ refusals

Q = "q = QuantizeLinear"
REFUSED = [
    pytest.param(f"{Q} <block_size = 2> (x, s2, z2)", 21, "blocked", id="blocks"),
    pytest.param(f"{Q} <output_dtype = 22> (x, s)", 21, "its integers are INT4", id="int4"),
    pytest.param(f"{Q} <output_dtype = 5> (x, s)", 21, "its integers are INT16", id="int16"),
    pytest.param(f"{Q} (x, s, f)", 19, "its integers are FLOAT8E4M3FN", id="fp8"),
    pytest.param(f"t = Abs (s) {Q} (x, t, z)", 17, "'t' is no constant", id="computed scale"),
    pytest.param(
        f"{Q} (x, s3, z3)", 17, r"3 scales along axis 1 do not go with \[1, 2\]", id="too many scales"
    ),
    pytest.param(f"{Q} <axis = 5> (x, s3, z3)", 17, "axis 5", id="no such axis"),
    pytest.param(f"{Q} (x, s3, z)", 17, "3 scales and 1 zero points", id="zero points"),
    pytest.param(
        f"u = NonZero (x) v = Cast <to = 1> (u) {Q} (v, s3, z3)", 17, "do not go with", id="other tensor"
    ),
    pytest.param(f"{Q} (x, s)", 10, "quantized at opset 10", id="old opset"),
    pytest.param(
        "q, r, t = DynamicQuantizeLinear (x)", 17, "no simulation of DynamicQuantizeLinear", id="dynamic"
    ),
    pytest.param("q = MatMulInteger (w, w)", 17, "no simulation of MatMulInteger", id="integer operator"),
    pytest.param("q = com.microsoft.QuantizeLinear (x, s, z)", 17, r"com\.microsoft", id="contrib operator"),
]
CONSTANTS = {
    "s": np.float32(1), "z": np.int8(0), "s2": np.ones((1, 1), np.float32), "z2": np.zeros((1, 1), np.int8),
    "s3": np.ones(3, np.float32), "z3": np.zeros(3, np.int8), "w": np.zeros((2, 2), np.int8),
}  # fmt: skip


@pytest.mark.parametrize(("text", "opset", "reason"), REFUSED)
def test_other_forms_of_quantization_are_refused_by_name(text: str, opset: int, reason: str) -> None:
    opsets = f'["": {opset}, "com.microsoft": 1]'
    model = parser.parse_model(
        f"<ir_version: 10, opset_import: {opsets}> toy (float[1, 2] x) => (int8[1, 2] q) {{ {text} }}"
    )
    for name, values in CONSTANTS.items():
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    model.graph.initializer.append(helper.make_tensor("f", TensorProto.FLOAT8E4M3FN, [], [0.0]))

    with pytest.raises(ModelError, match=reason) as caught:
        simulated(model)

    assert caught.value.hint


def test_pairs_within_a_body_are_refused() -> None:
    body = "t () => (float[2] t) { q = QuantizeLinear (x, s, z) t = DequantizeLinear (q, s, z) }"
    model = model_of(
        f"toy (float[2] x, bool c) => (float[2] y) {{ y = If (c) <then_branch = {body}, else_branch = "
        "b () => (float[2] e) { e = Neg (x) }> }",
        s=np.float32(1),
        z=np.int8(0),
    )

    with pytest.raises(ModelError, match="lies within another node"):
        simulated(model)


# ------------------------------------------------------------------------------------ opening

PAIR = (
    "toy (float[1, 3, 2, 2] x) => (float[1, 3, 2, 2] y) "
    "{ q = QuantizeLinear (x, s, z) y = DequantizeLinear (q, s, z) }"
)


def save(model: onnx.ModelProto, folder: Path) -> Path:
    onnx.save(model, folder / "model.onnx")
    return folder


def test_a_quantized_model_opens_as_its_simulation(tmp_path: Path) -> None:
    folder = save(model_of(PAIR, s=np.float32(0.25), z=np.int8(0)), tmp_path)

    with open_simulation(folder, HERE) as infer:
        found = infer(np.full((1, 3, 2, 2), 0.7, np.float32))

    assert (found == 0.75).all()
    assert [path.name for path in folder.iterdir()] == ["model.onnx"]


def test_a_float_model_opens_as_it_is(tmp_path: Path) -> None:
    folder = save(model_of("toy (float[1, 3, 2, 2] x) => (float[1, 3, 2, 2] y) { y = Neg (x) }"), tmp_path)

    with open_simulation(folder, HERE) as infer:
        assert (infer(np.ones((1, 3, 2, 2), np.float32)) == -1).all()


def test_a_typed_fp16_model_opens_with_its_results_rounded_to_fp16(tmp_path: Path) -> None:
    text = (
        "toy (float[1, 3, 2, 2] x) => (float[1, 3, 2, 2] y) "
        "{ h = Cast <to = 10> (x) q = QuantizeLinear (h, s, z) d = DequantizeLinear (q, s, z) "
        "a = Add (d, one) y = Cast <to = 1> (a) }"
    )
    model = model_of(text, opset=19, s=np.float16(32), z=np.int8(0), one=np.float16(1))

    with open_simulation(save(model, tmp_path), HERE) as infer:
        found = infer(np.full((1, 3, 2, 2), 2050, np.float32))

    assert (found == 2048).all()  # 64 * 32 + 1, of which FP16 has no more than 2048 and 2050


def test_a_picture_of_another_size_is_told_with_the_models_own_path(tmp_path: Path) -> None:
    folder = save(model_of(PAIR, s=np.float32(0.25), z=np.int8(0)), tmp_path)

    with (
        pytest.raises(ModelError, match=f"{folder}/model.onnx does not take this picture"),
        open_simulation(folder, HERE) as infer,
    ):
        infer(np.ones((1, 3, 9, 9), np.float32))


def test_what_onnx_runtime_cannot_run_is_unsupported(tmp_path: Path) -> None:
    model = model_of(PAIR, s=np.float32(0.25), z=np.int8(0))
    model.graph.node.add(op_type="NoSuchOperator", input=["x"], output=["n"])

    with (
        pytest.raises(UnsupportedError, match=f"cannot run {tmp_path}"),
        open_simulation(save(model, tmp_path), HERE),
    ):
        pass


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model")

    with pytest.raises(ModelError, match="no ONNX file"), open_simulation(tmp_path, HERE):
        pass
