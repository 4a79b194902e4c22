"""The cost model: what operators have to do, and how long a device takes for it."""

from collections.abc import Callable
from dataclasses import replace

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.quantize.graph import Graph
from stages.quantize.ranking.cost import CPU_SPEEDUP, Load, cost_model, load_of
from targets.errors import ModelError
from targets.profile import Rates, TargetProfile

Build = Callable[..., onnx.ModelProto]

CPU = TargetProfile(name="cpu", device="a CPU", runtime="openvino")
BOARD = replace(
    CPU, device="a board", runtime="tensorrt", rates=Rates(fp16_tflops=5, int8_tops=20, bandwidth_gb_s=100)
)
LOADS = st.builds(Load, macs=st.integers(0, 10**12), values=st.integers(0, 10**10))


@pytest.mark.parametrize(
    ("node", "shape", "macs", "values"),
    [
        pytest.param("Conv (images, w)", (8, 3, 1, 1), 24 * 256, 768 + 24 + 2048, id="pointwise"),
        pytest.param(
            "Conv <strides = [2, 2]> (images, w)", (8, 3, 2, 2), 96 * 64, 768 + 96 + 512, id="with a stride"
        ),
        pytest.param("Conv <group = 3> (images, w)", (3, 1, 1, 1), 3 * 256, 768 + 3 + 768, id="depthwise"),
        pytest.param(
            "ConvTranspose <strides = [2, 2]> (images, w)",
            (3, 5, 2, 2),
            60 * 256,
            768 + 60 + 5120,
            id="transposed",
        ),
        pytest.param("MatMul (images, w)", (16, 4), 64 * 48, 768 + 64 + 192, id="product"),
    ],
)
def test_a_multiply_add_counts_for_each_weight_and_place(
    build: Build, node: str, shape: tuple[int, ...], macs: int, values: int
) -> None:
    graph = Graph(build(f"a = {node} output0 = Relu (a)", {"w": shape}))

    assert load_of(graph, graph.nodes[0]) == Load(macs=macs, values=values)


def test_a_product_with_turned_weights_counts_the_same(build: Build) -> None:
    for text, shape in (("Gemm (flat, w)", (768, 4)), ("Gemm <transB = 1> (flat, w)", (4, 768))):
        graph = Graph(build(f"flat = Flatten (images) a = {text} output0 = Relu (a)", {"w": shape}))

        assert load_of(graph, graph.nodes[1]).macs == 768 * 4


def test_shapes_that_are_not_fixed_have_no_cost(build: Build) -> None:
    graph = Graph(build("output0 = Conv (images, w)", {"w": (4, 3, 1, 1)}, source="float[1, 3, h, w] images"))

    with pytest.raises(ModelError, match="shape of 'images', at Conv 'output0', is not known"):
        load_of(graph, graph.nodes[0])


def test_with_rates_it_takes_the_longer_of_arithmetic_and_memory_in_milliseconds() -> None:
    model = cost_model(BOARD)

    assert model.unit == "ms"
    assert model.of(Load(macs=10**10, values=0), int8=True) == pytest.approx(
        1.0
    )  # 2e10 operations at 20 TOPS
    assert model.of(Load(macs=10**10, values=0), int8=False) == pytest.approx(4.0)
    assert model.of(Load(macs=1, values=10**8), int8=True) == pytest.approx(1.0)  # 1e8 bytes at 100 GB/s
    assert model.of(Load(macs=1, values=10**8), int8=False) == pytest.approx(2.0)  # FP16
    assert "20 TOPS INT8, 5 TFLOPS FP16, 100 GB/s" in model.text


def test_without_a_bandwidth_only_arithmetic_counts() -> None:
    model = cost_model(replace(BOARD, rates=Rates(fp16_tflops=5, int8_tops=20)))

    assert model.of(Load(macs=0, values=10**8), int8=True) == 0.0
    assert "GB/s" not in model.text


@pytest.mark.parametrize("rates", [Rates(), Rates(int8_tops=20), Rates(fp16_tflops=5, bandwidth_gb_s=100)])
def test_without_rates_costs_are_relative_and_it_says_what_they_rest_on(rates: Rates) -> None:
    model = cost_model(replace(CPU, rates=rates))
    load = Load(macs=1000, values=10)

    assert model.unit == "share of float"
    assert model.of(load, int8=False) / model.of(load, int8=True) == pytest.approx(CPU_SPEEDUP)
    assert str(CPU_SPEEDUP) in model.text


@given(load=LOADS, rates=st.builds(Rates, *[st.none() | st.floats(0.1, 1e3)] * 3))
def test_int8_never_saves_less_than_nothing(load: Load, rates: Rates) -> None:
    assert cost_model(replace(BOARD, rates=rates)).saving(load) >= 0


@given(LOADS, LOADS)
def test_loads_add_up(one: Load, other: Load) -> None:
    assert one + other == Load(macs=one.macs + other.macs, values=one.values + other.values)
