"""Placement: what of a graph becomes INT8, one rule after the other."""

import re
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from stages.quantize.graph import Edge
from stages.quantize.placement import LeftOut, Placement, Weight, place
from targets.errors import ModelError, UsageError

Build = Callable[..., onnx.ModelProto]
Told = Callable[..., str]

SHAPES = {
    "sizes": np.array([4, 4]),
    "twice": np.array([1, 1, 2, 2], np.float32),
    "rows": np.array([1, 8, 256]),
    "sides": np.array([1, 8, 16, 16]),
    "shuffled": np.array([1, 2, 4, 16, 16]),
    "zero": np.array([0]),
    "four": np.array([4]),
    "one": np.array([1]),
    "frame": np.array([0, 0, 0, 0, 0, 0, 1, 1]),
    "ones": np.array(1, np.float32),
    "zeros": np.array(0, np.float32),
    "kernel": np.ones((8, 8, 1, 1), np.float32),
    "k": np.ones((1, 8, 16, 16), np.float32),
}


def silu(result: str, source: str) -> str:
    """Conv → SiLU as an exporter writes it, with BatchNorm fused; the result has the name of its module."""
    return (
        f"{result}/conv = Conv ({source}, w_{result}) {result}/act/s = Sigmoid ({result}/conv) "
        f"{result} = Mul ({result}/conv, {result}/act/s)"
    ).replace("/", "_")


def net(
    build: Build, *lines: str, source: str = "float[1, 8, 16, 16] x", **shapes: tuple[int, ...]
) -> onnx.ModelProto:
    """Give a model in which a weight is 8 to 8 channels, 1×1, unless `shapes` say another."""
    text = " ".join(lines)
    weights = dict.fromkeys(re.findall(r"\bw_\w+", text), (8, 8, 1, 1))
    used = {name: values for name, values in SHAPES.items() if re.search(rf"\b{name}\b", text)}
    return build(text, weights | shapes, used, source=source)


def read_by(placement: Placement, model: onnx.ModelProto, *nodes: str) -> dict[str, list[str]]:
    """Give the tensors that some nodes read in INT8."""
    inputs = {node.name: node.input for node in model.graph.node}
    return {
        name: [inputs[name][edge.position] for edge in placement.edges if edge.node == name] for name in nodes
    }


def together(placement: Placement) -> set[frozenset[str]]:
    """Give the tensors that share a scale with others."""
    return {frozenset(group) for group in placement.groups if len(group) > 1}


class TestHead:
    def test_the_body_is_quantized_and_the_head_stays_in_float(self, detector: onnx.ModelProto) -> None:
        placement = place(detector, exclude=("head",))

        assert placement == Placement(
            nodes=("c0", "c1"),
            edges=(Edge("c0", 0), Edge("c1", 0)),
            groups=(("images",), ("a0",)),
            weights=(Weight("w0", 0), Weight("w1", 0)),
            left_out=(
                LeftOut("box", "output convolution of the head"),
                LeftOut("cls", "output convolution of the head"),
                LeftOut("dfl", "decoding of the head"),
            ),
        )

    def test_without_exclusions_the_whole_graph_is_quantized(self, detector: onnx.ModelProto) -> None:
        placement = place(detector, exclude=())

        assert {"c0", "c1", "box", "cls", "dfl", "boxes", "output0"} <= set(placement.nodes)
        assert {"images", "a0", "a1", "box", "cls", "shares", "sides", "scores", "output0"} <= set(
            placement.activations
        )
        assert not {"w0", "b0", "w_dfl", "strides", "bins_shape"} & set(placement.activations)
        assert Weight("w_dfl", 0) in placement.weights
        assert placement.left_out == ()

    def test_what_works_on_candidates_chosen_by_score_stays_in_float(self, build: Build) -> None:
        model = net(
            build,
            "a = Conv (x, w_a) rows = Reshape (a, rows_shape) scores = MatMul (rows, w_scores)",
            "best, places = TopK <axis = 1> (scores, four) chosen = GatherElements <axis = 1> (rows, places)",
            "hidden = MatMul (chosen, w_hidden) output0 = MatMul (hidden, w_box)",
            w_scores=(256, 256), w_hidden=(256, 16), w_box=(16, 4),
        )  # fmt: skip
        model.graph.initializer.append(numpy_helper.from_array(np.array([1, 8, 256]), "rows_shape"))

        placement = place(model, exclude=("head",))

        assert placement.nodes == ("a",)
        assert placement.left_out == (
            LeftOut("scores", "output convolution of the head"),
            LeftOut("hidden", "works on candidates chosen by score"),
            LeftOut("output0", "works on candidates chosen by score"),
        )


class TestResidual:
    @pytest.mark.parametrize("add", ["sum = Add (a, c)", "sum = Add (c, a)"], ids=["left", "right"])
    def test_the_add_reads_int8_on_the_shortcut_alone(self, build: Build, told: Told, add: str) -> None:
        model = net(build, silu("a", "x"), silu("b", "a"), silu("c", "b"), add, "output0 = Conv (sum, w_o)")

        placement = place(model, exclude=())

        assert read_by(placement, model, "sum") == {"sum": ["a"]}
        assert placement.groups == (("x",), ("a",), ("b",), ("sum",), ("output0",))

    def test_in_a_chain_each_sum_is_the_shortcut_of_the_next(self, build: Build) -> None:
        model = net(
            build,
            silu("a", "x"),
            silu("b", "a"), silu("c", "b"), "sum = Add (a, c)",
            silu("d", "sum"), silu("e", "d"), "again = Add (sum, e)",
            "output0 = Conv (again, w_o)",
        )  # fmt: skip

        placement = place(model, exclude=("head",))

        assert read_by(placement, model, "sum", "again") == {"sum": ["a"], "again": ["sum"]}
        assert together(placement) == set()

    def test_attention_is_a_branch_like_any_other(self, build: Build) -> None:
        model = net(
            build,
            "a = Relu (x) qkv = Conv (a, w_qkv) flat = Reshape (qkv, rows)",
            "turned = Transpose <perm = [0, 2, 1]> (flat) product = MatMul (flat, turned)",
            "shares = Softmax (product) picked = MatMul (shares, flat) map = Reshape (picked, sides)",
            "projected = Conv (map, w_projected) sum = Add (a, projected) output0 = Conv (sum, w_o)",
        )

        placement = place(model, exclude=("head",))

        assert placement.nodes == ("qkv", "projected")
        assert read_by(placement, model, "sum", "product", "picked") == {
            "sum": ["a"], "product": [], "picked": [],
        }  # fmt: skip
        assert together(placement) == {frozenset({"picked", "map"})}

    def test_a_sum_of_two_fresh_convolutions_is_left_alone(self, build: Build) -> None:
        model = net(build, silu("a", "x"), silu("b", "x"), "sum = Add (a, b) output0 = Conv (sum, w_o)")

        assert place(model, exclude=("head",)).activations == ("x",)

    def test_a_shortcut_that_no_convolution_reads_in_int8_stays_in_float(self, build: Build) -> None:
        model = net(
            build, "a = Relu (x) b = AveragePool <kernel_shape = [1, 1]> (a) c = Softmax (b) d = Add (a, c)",
            "output0 = Conv (d, w_o)",
        )  # fmt: skip

        assert place(model, exclude=()).activations == ("d", "output0")

    def test_an_excluded_add_reads_no_int8(self, build: Build) -> None:
        model = net(build, silu("a", "x"), silu("b", "a"), "sum = Add (a, b) output0 = Conv (sum, w_o)")

        assert read_by(place(model, exclude=("sum",)), model, "sum") == {"sum": []}


MOVES = {
    "MaxPool": "m = MaxPool <kernel_shape = [5, 5], pads = [2, 2, 2, 2]> (a)",
    "nearest Resize": 'm = Resize <mode = "nearest"> (a, , twice)',
    "Slice": "m = Slice (a, zero, four, one)",
    "Reshape": "m = Reshape (a, sides)",
    "Transpose": "m = Transpose <perm = [0, 1, 3, 2]> (a)",
    "Unsqueeze and Squeeze": "u = Unsqueeze (a, zero) m = Squeeze (u, zero)",
    "Identity": "m = Identity (a)",
    "Pad with zeros": "m = Pad (a, frame)",
    "Pad with zeros, said": "m = Pad (a, frame, zeros)",
    "Pad with the border": 'm = Pad <mode = "edge"> (a, frame)',
    "SpaceToDepth and back": "s = SpaceToDepth <blocksize = 2> (a) m = DepthToSpace <blocksize = 2> (s)",
    "channel shuffle": "r = Reshape (a, shuffled) t = Transpose <perm = [0, 2, 1, 3, 4]> (r)"
    " m = Reshape (t, sides)",
}  # fmt: skip
CHANGES = {
    "linear Resize": 'm = Resize <mode = "linear"> (a, , twice)',
    "Pad with ones": "m = Pad (a, frame, ones)",
    "Relu": "m = Relu (a)",
    "Tanh": "m = Tanh (a)",
    "a product": "m = Mul (a, ones)",
    "GlobalAveragePool": "m = GlobalAveragePool (a)",
}


class TestMoving:
    @pytest.mark.parametrize("text", MOVES.values(), ids=MOVES.keys())
    def test_what_moves_values_works_on_int8_with_one_scale(self, build: Build, text: str) -> None:
        model = net(build, silu("a", "x"), text, "output0 = Conv (m, w_o)")

        placement = place(model, exclude=())

        results = re.findall(r"(\w+) = [A-Z]", text)
        assert together(placement) == {frozenset({"a", *results})}
        assert all(read_by(placement, model, *results).values())
        assert placement.nodes == ("a_conv", "output0")

    @pytest.mark.parametrize("text", CHANGES.values(), ids=CHANGES.keys())
    def test_what_changes_values_stays_in_float(self, build: Build, text: str) -> None:
        model = net(build, silu("a", "x"), text, "output0 = Conv (m, w_o)")

        placement = place(model, exclude=())

        assert read_by(placement, model, "m") == {"m": []}
        assert placement.groups == (("x",), ("m",), ("output0",))

    def test_an_average_reads_int8_but_has_a_scale_of_its_own(self, build: Build) -> None:
        model = net(
            build, silu("a", "x"), "m = AveragePool <kernel_shape = [2, 2]> (a) output0 = Conv (m, w_o)"
        )

        placement = place(model, exclude=())

        assert read_by(placement, model, "m") == {"m": ["a"]}
        assert placement.groups == (("x",), ("a",), ("m",), ("output0",))

    def test_an_average_that_is_read_in_float_reads_float(self, build: Build) -> None:
        model = net(
            build, silu("a", "x"), "m = AveragePool <kernel_shape = [2, 2]> (a) n = Softmax (m)",
            "sum = Add (m, n) output0 = Conv (sum, w_o)",
        )  # fmt: skip

        assert read_by(place(model, exclude=()), model, "m") == {"m": []}

    def test_each_part_of_a_split_has_the_scale_of_the_whole(self, build: Build) -> None:
        model = net(
            build, silu("a", "x"), "l, r = Split <axis = 1> (a, sizes)",
            "b = Conv (l, w_b) c = Conv (r, w_c) output0 = Add (b, c)",
            w_b=(8, 4, 1, 1), w_c=(8, 4, 1, 1),
        )  # fmt: skip

        placement = place(model, exclude=())

        assert together(placement) >= {frozenset({"a", "l", "r"})}
        assert Edge("l", 0) in placement.edges  # a Split goes by its first output here

    def test_one_reader_in_float_keeps_it_in_float(self, build: Build) -> None:
        model = net(
            build, silu("a", "x"), "m = MaxPool <kernel_shape = [1, 1]> (a)",
            "b = Conv (m, w_b) s = Softmax (m) sum = Mul (b, s) output0 = Conv (sum, w_o)",
        )  # fmt: skip

        placement = place(model, exclude=("head",))

        assert read_by(placement, model, "m", "b") == {"m": [], "b": ["m"]}
        assert placement.groups == (("x",), ("m",))

    def test_a_graph_output_is_read_in_float(self, build: Build) -> None:
        model = net(build, silu("a", "x"), "m = Identity (a) b = Conv (m, w_b) output0 = Conv (b, w_o)")
        model.graph.output.append(onnx.ValueInfoProto(name="m", type=model.graph.output[0].type))

        assert place(model, exclude=("head",)).edges == (Edge("b", 0),)

    def test_an_excluded_node_moves_in_float(self, build: Build) -> None:
        model = net(build, silu("a", "x"), "m = Identity (a) output0 = Conv (m, w_o)")

        assert place(model, exclude=("m",)).groups == (("x",), ("m",), ("output0",))

    def test_what_is_stored_is_not_moved_in_int8(self, build: Build) -> None:
        model = net(
            build, silu("a", "x"), "m = Concat <axis = 1> (a, k) output0 = Conv (m, w_o)", w_o=(8, 16, 1, 1)
        )  # fmt: skip

        placement = place(model, exclude=())

        assert placement.groups == (("x",), ("m",), ("output0",))


class TestConcat:
    def test_its_inputs_share_a_scale_with_what_it_gives(self, build: Build) -> None:
        model = net(
            build, silu("a", "x"), silu("b", "x"), "m = Concat <axis = 1> (a, b) output0 = Conv (m, w_o)",
            w_o=(8, 16, 1, 1),
        )  # fmt: skip

        placement = place(model, exclude=("head",))
        whole = place(model, exclude=())

        assert placement.activations == ("x",)
        assert read_by(whole, model, "m") == {"m": ["a", "b"]}
        assert together(whole) == {frozenset({"a", "b", "m"})}

    def test_two_that_share_an_input_have_one_scale(self, build: Build) -> None:
        model = net(
            build, silu("a", "x"), silu("b", "x"), silu("c", "x"),
            "m = Concat <axis = 1> (a, b) n = Concat <axis = 1> (b, c)",
            "d = Conv (m, w_d) e = Conv (n, w_e) output0 = Add (d, e)",
            w_d=(8, 16, 1, 1), w_e=(8, 16, 1, 1),
        )  # fmt: skip

        assert frozenset({"a", "b", "c", "m", "n"}) in together(place(model, exclude=()))

    def test_with_the_same_input_twice_it_is_one_tensor(self, build: Build) -> None:
        model = net(
            build, silu("a", "x"), "m = Concat <axis = 1> (a, a) output0 = Conv (m, w_o)", w_o=(8, 16, 1, 1)
        )  # fmt: skip

        placement = place(model, exclude=())

        assert read_by(placement, model, "m") == {"m": ["a", "a"]}
        assert frozenset({"a", "m"}) in together(placement)


class TestWeights:
    @pytest.mark.parametrize(
        ("node", "shape", "axis"),
        [
            ("Conv (images, w)", (4, 3, 1, 1), 0),
            ("ConvTranspose (images, w)", (3, 4, 2, 2), 1),
            ("MatMul (images, w)", (16, 4), 1),
            ("Gemm (flat, w)", (768, 4), 1),
            ("Gemm <transB = 1> (flat, w)", (4, 768), 0),
            ("Gemm <transB = 0> (flat, w)", (768, 4), 1),
        ],
    )
    def test_they_are_quantized_per_output_channel(
        self, build: Build, node: str, shape: tuple[int, ...], axis: int
    ) -> None:
        model = build(f"flat = Flatten (images) output0 = {node}", {"w": shape})

        assert place(model, exclude=()).weights == (Weight("w", axis),)

    @pytest.mark.parametrize(
        ("text", "shape"),
        [
            pytest.param("output0 = MatMul (w, images)", (4, 16), id="weights on the left"),
            pytest.param("output0 = MatMul (images, w)", (16,), id="a vector has no channels"),
            pytest.param("output0 = MatMul (images, w)", (3, 16, 4), id="one matrix a channel of the input"),
            pytest.param("output0 = MatMul (images, images)", (1,), id="attention has no weights"),
            pytest.param("output0 = Mul (images, w)", (1,), id="a product by elements"),
            pytest.param("a = Softmax (w) output0 = Conv (images, a)", (4, 3, 1, 1), id="computed weights"),
            pytest.param("a = Conv (w, w) output0 = Mul (images, a)", (1, 1, 1, 1), id="nothing to compute"),
        ],
    )
    def test_where_there_is_no_matrix_of_weights_nothing_is_quantized(
        self, build: Build, text: str, shape: tuple[int, ...]
    ) -> None:
        with pytest.raises(ModelError, match="Nothing in the model can be quantized"):
            place(build(text, {"w": shape}), exclude=())

    def test_a_model_whose_only_weights_are_excluded_cannot_be_quantized(self, build: Build) -> None:
        with pytest.raises(ModelError, match="Nothing in the model can be quantized"):
            place(build("output0 = Conv (images, w)", {"w": (4, 3, 1, 1)}), exclude=("head",))

    def test_a_weight_that_two_nodes_share_is_stored_once(self, build: Build) -> None:
        model = build(
            "flat = Flatten <axis = 3> (images) a = MatMul (flat, w) b = Gemm <transB = 1> (a, w) "
            "output0 = Relu (b)",
            {"w": (16, 16)},
        )

        assert place(model, exclude=()).weights == (Weight("w", 1),)

    def test_a_tensor_that_many_nodes_read_gets_one_pair(self, build: Build) -> None:
        model = net(build, "a = Conv (x, w_a) b = Conv (x, w_b) c = Add (a, b) output0 = Conv (c, w_o)")

        assert place(model, exclude=("head",)).activations == ("x",)


class TestExclusion:
    def test_a_pattern_keeps_the_nodes_that_fit_in_float(self, detector: onnx.ModelProto) -> None:
        placement = place(detector, exclude=("head", "c[0]", "s?"))

        assert placement.nodes == ("c1",)
        assert placement.activations == ("a0",)
        assert LeftOut("c0", "excluded by 'c[0]'") in placement.left_out

    def test_a_name_that_looks_like_a_pattern_is_taken_as_it_is(self, detector: onnx.ModelProto) -> None:
        detector.graph.node[0].name = "/m[0]/conv"

        placement = place(detector, exclude=("head", "/m[0]/conv"))

        assert placement.left_out[0] == LeftOut("/m[0]/conv", "excluded by '/m[0]/conv'")

    def test_a_pattern_without_head_leaves_that_in_float_and_quantizes_the_head(
        self, detector: onnx.ModelProto
    ) -> None:
        placement = place(detector, exclude=("c0", "output0"))

        assert "box" in placement.nodes
        assert not {"c0", "output0"} & set(placement.nodes)

    def test_a_pattern_that_fits_no_node_is_refused_with_an_example(self, detector: onnx.ModelProto) -> None:
        with pytest.raises(UsageError, match=r"no node of the model fits '/model\.99/\*'") as caught:
            place(detector, exclude=("head", "/model.99/*"))

        assert "names look like c0" in caught.value.hint


class TestTensorCores:
    @pytest.mark.parametrize(
        ("conv", "shape", "reason"),
        [
            pytest.param("Conv (a, w)", (16, 16, 3, 3), "", id="enough channels"),
            pytest.param("Conv (a, w)", (12, 16, 1, 1), "", id="few on one side, aligned, many on the other"),
            pytest.param("Conv (a, w)", (12, 12, 1, 1), "few channels (12 to 12)", id="few on both sides"),
            pytest.param("Conv (a, w)", (8, 8, 1, 1), "few channels (8 to 8)", id="aligned, but few"),
            pytest.param("Conv (a, w)", (20, 12, 1, 1), "few channels (12 to 20)", id="neither is aligned"),
            pytest.param("Conv <group = 16> (a, w)", (16, 1, 3, 3), "", id="depthwise"),
            pytest.param("Conv <group = 12> (a, w)", (12, 1, 3, 3), "12 small groups", id="not by eights"),
            pytest.param("Conv <group = 16> (a, w)", (16, 1, 1, 1), "16 small groups", id="a small kernel"),
            pytest.param("Conv <group = 4> (a, w)", (16, 4, 3, 3), "4 small groups", id="small groups"),
            pytest.param("Conv <group = 2> (a, w)", (32, 16, 3, 3), "", id="large groups"),
            pytest.param("ConvTranspose (a, w)", (4, 4, 2, 2), "", id="no convolution"),
        ],
    )
    def test_convolutions_that_are_no_faster_in_int8_stay_in_float(
        self, build: Build, conv: str, shape: tuple[int, ...], reason: str
    ) -> None:
        model = build(
            f"a = Relu (images) b = {conv} output0 = Conv (b, v)", {"w": shape, "v": (64, 64, 1, 1)}
        )

        placement = place(model, exclude=(), tensor_cores=True)

        left = {one.node: one.reason for one in placement.left_out}
        assert left.get("b", "").removesuffix(": INT8 is no faster on Tensor Cores") == reason
        assert ("b" in placement.nodes) == (not reason)

    def test_the_first_convolution_may_have_three_channels_if_it_gives_eight(self, build: Build) -> None:
        text = "a = Conv (images, w) output0 = Conv (a, v)"
        eight, nine = (build(text, {"w": (outs, 3, 3, 3), "v": (64, 64, 1, 1)}) for outs in (8, 9))

        assert place(eight, exclude=(), tensor_cores=True).nodes == ("a", "output0")
        assert place(nine, exclude=(), tensor_cores=True).nodes == ("output0",)

    def test_elsewhere_they_are_quantized(self, build: Build) -> None:
        model = build("a = Conv (images, w) output0 = Conv (a, v)", {"w": (9, 3, 3, 3), "v": (4, 9, 1, 1)})

        assert place(model, exclude=()).nodes == ("a", "output0")

    def test_an_exclusion_is_the_reason_that_is_told(self, build: Build) -> None:
        model = build("a = Conv (images, w) b = Conv (a, u) output0 = Conv (b, v)",
                      {"w": (9, 3, 3, 3), "u": (64, 64, 1, 1), "v": (4, 64, 1, 1)})  # fmt: skip

        placement = place(model, exclude=("head", "a"), tensor_cores=True)

        assert placement.left_out[0] == LeftOut("a", "excluded by 'a'")


class TestOtherModels:
    @pytest.mark.parametrize("op", ["QuantizeLinear", "DequantizeLinear", "QLinearConv", "ConvInteger"])
    def test_a_quantized_model_is_refused(self, build: Build, op: str) -> None:
        model = build("a = Conv (images, w) output0 = Conv (a, v)", {"w": (4, 3, 1, 1), "v": (4, 4, 1, 1)})
        model.graph.node.add(op_type=op, name="q", input=["a", "scale"], output=["other"])

        with pytest.raises(ModelError, match="quantized already"):
            place(model, exclude=("head",))

    @pytest.mark.parametrize(("kind", "name"), [(np.float16, "FLOAT16"), (np.float64, "DOUBLE")])
    def test_a_model_of_another_precision_is_refused(self, build: Build, kind: type, name: str) -> None:
        model = build("a = Conv (images, w) output0 = Relu (a)", {}, {"w": np.ones((4, 3, 1, 1), kind)})

        with pytest.raises(ModelError, match=f"The weights of Conv 'a' are {name}"):
            place(model, exclude=())
