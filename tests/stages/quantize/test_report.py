"""Placement report: the text for people, and the figures."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from stages.quantize.placement import place
from stages.quantize.ranges import Grid
from stages.quantize.report import Summary, describe, summarize
from targets.errors import ModelError

Build = Callable[..., onnx.ModelProto]

# A stem, a block with a bottleneck, attention beside a pool, and a head; node and tensor are /stem/conv.
NETWORK = """
    stem__conv = Conv <strides = [2, 2], pads = [1, 1, 1, 1]> (images, w0)
    stem__act = Relu (stem__conv)
    body__split, body__half = Split <axis = 1> (stem__act, halves)
    body__m__conv = Conv <pads = [1, 1, 1, 1]> (body__half, w1)
    body__m__act = Relu (body__m__conv)
    body__m__sum = Add (body__half, body__m__act)
    body__all = Concat <axis = 1> (body__split, body__half, body__m__sum)
    body__last = Conv (body__all, w2)
    up__nearest = Resize <mode = "nearest"> (body__last, , twice)
    up__linear = Resize <mode = "linear"> (up__nearest, , twice)
    up__conv = Conv <strides = [4, 4]> (up__linear, w8)
    attention__rows = Reshape (body__last, rows)
    attention__turned = Transpose <perm = [0, 2, 1]> (attention__rows)
    attention__product = MatMul (attention__rows, attention__turned)
    attention__linear = MatMul (attention__product, w3)
    attention__pool = MaxPool <kernel_shape = [1, 1]> (body__last)
    attention__conv = Conv (attention__pool, w4)
    attention__soft = Softmax (attention__pool)
    attention__sum = Add (attention__conv, attention__soft)
    head__all = Add (attention__sum, up__conv)
    head__small = Conv (head__all, w5)
    head__box = Conv (head__small, w6)
    head__flat = Reshape (head__box, flat)
    head__row = Flatten (attention__linear)
    head__cls = Gemm (head__row, w7)
    output0 = Concat <axis = 1> (head__flat, head__cls)
"""
SHAPES = {
    "w0": (8, 3, 3, 3), "w1": (4, 4, 3, 3), "w2": (16, 12, 1, 1), "w3": (16, 8), "w4": (16, 16, 1, 1),
    "w5": (4, 16, 1, 1), "w6": (1, 4, 1, 1), "w7": (128, 2), "w8": (16, 16, 1, 1),
}  # fmt: skip
CONSTANTS = {
    "halves": np.array([4, 4]),
    "rows": np.array([1, 16, 64]),
    "flat": np.array([1, 64]),
    "twice": np.array([1, 1, 2, 2], np.float32),
}
# Multiply-adds of stem, body, up and attention; then those of the product of activations, and of the head.
INT8_MACS = 8 * 64 * 27 + (4 * 64 * 36 + 16 * 64 * 12) + 16 * 64 * 16 + (16 * 16 * 8 + 16 * 64 * 16)
MACS = INT8_MACS + 16 * 16 * 64 + (4 * 64 * 16 + 64 * 4 + 128 * 2)
REPORT = """\
6 of 9 weighted operators in INT8, with 77.0% of all multiply-adds; 9 Q/DQ pairs on activations, with 5 scales

/stem: 1 of 1 weighted operators in INT8
  INT8  Conv  conv  scale 1: 0.01, zero at 3  images

/body: 2 of 2 weighted operators in INT8
  INT8  Split   split   scale 2: 0.02, zero at 6  /stem/act
  INT8  Conv    m/conv  scale 2: 0.02, zero at 6  body__half
  INT8  Add     m/sum   scale 2: 0.02, zero at 6  shortcut body__half
  INT8  Concat  all     scale 2: 0.02, zero at 6  body__split, body__half, m/sum
  INT8  Conv    last    scale 2: 0.02, zero at 6  all
  scale 2 is shared by /stem/act, body__half, body__split, m/sum, all

/up: 1 of 1 weighted operators in INT8
  INT8  Conv  conv  scale 3: 0.03, zero at 9  linear
  float  Resize  linear  interpolation gives new values

/attention: 2 of 2 weighted operators in INT8
  INT8  MatMul  linear  scale 4: 0.04, zero at 12  product
  INT8  Conv    conv    scale 5: 0.05, zero at 15  pool
  float  MatMul   product  product of two activations
  float  MaxPool  pool     /attention/soft reads it in float

/head: 0 of 3 weighted operators in INT8
  float  Conv  small  excluded by '/head/small'
  float  Conv  box    output convolution of the head
  float  Gemm  cls    output convolution of the head
"""


@pytest.fixture
def network(build: Build) -> onnx.ModelProto:
    model = build(NETWORK, SHAPES, CONSTANTS, output="float[1, 66] output0")
    for node in model.graph.node:
        if "__" in node.name:
            node.name = f"/{node.name.replace('__', '/')}"
    return model


def test_it_says_what_reads_int8_and_what_does_not_and_why(network: onnx.ModelProto) -> None:
    placement = place(network, exclude=("head", "/head/small"))
    grids = {
        name: Grid(number / 100, 3 * number, unsigned=True)
        for number, group in enumerate(placement.groups, 1)
        for name in group
    }

    assert describe(network, placement, grids) == REPORT


def test_the_summary_has_the_same_figures(network: onnx.ModelProto) -> None:
    summary = summarize(network, place(network, exclude=("head", "/head/small")))

    assert summary == Summary(weighted=9, int8=6, macs_share=INT8_MACS / MACS, pairs=9, scales=5)
    assert str(summary) == REPORT.partition("\n")[0]


def test_nodes_without_a_module_and_symmetric_grids_are_told_of_too(build: Build) -> None:
    model = build(
        "a = Conv (images, w) output0 = Conv (a, v)",
        {"w": (4, 3, 1, 1), "v": (4, 4, 1, 1)},
        output="float[1, 4, 16, 16] output0",
    )

    text = describe(model, place(model, exclude=("head",)), {"images": Grid(1 / 127)})

    assert text.splitlines()[2:] == [
        "nodes outside of modules: 1 of 2 weighted operators in INT8",
        "  INT8  Conv  a  scale 1: 0.007874  images",
        "  float  Conv  output0  output convolution of the head",
    ]


def test_a_node_that_reads_several_scales_has_a_row_for_each(detector: onnx.ModelProto) -> None:
    placement = place(detector, exclude=())

    text = describe(detector, placement, dict.fromkeys(placement.activations, Grid(0.1)))

    rows = [line.split() for line in text.splitlines()]
    assert [row[-1] for row in rows if row[1:3] == ["Concat", "output0"]] == ["boxes", "scores"]


def test_multiply_adds_of_an_open_shape_are_nobodys_guess(build: Build) -> None:
    model = build(
        "a = Conv (images, w) output0 = Conv (a, v)",
        {"w": (4, 3, 1, 1), "v": (4, 4, 1, 1)},
        source="float[n, 3, 16, 16] images",
    )

    with pytest.raises(ModelError, match="is not known") as caught:
        summarize(model, place(model, exclude=("head",)))

    assert "fixed shapes" in caught.value.hint
