"""Placement report: the text for people, and the figures."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from stages.quantize.placement import place
from stages.quantize.placement_report import describe, summarize
from stages.quantize.ranges import Grid
from targets.errors import ModelError

Build = Callable[..., onnx.ModelProto]

# A stem, a block with a bottleneck, attention and a pool, and a head.
NETWORK = """
    stem__conv = Conv <strides = [2, 2], pads = [1, 1, 1, 1]> (images, w0)
    stem__act = Relu (stem__conv)
    body__left, body__right = Split <axis = 1> (stem__act, halves)
    body__m__conv = Conv <pads = [1, 1, 1, 1]> (body__right, w1)
    body__m__act = Relu (body__m__conv)
    body__m__sum = Add (body__right, body__m__act)
    body__all = Concat <axis = 1> (body__left, body__right, body__m__sum)
    body__last = Conv (body__all, w2)
    attention__rows = Reshape (body__last, rows)
    attention__turned = Transpose <perm = [0, 2, 1]> (attention__rows)
    attention__product = MatMul (attention__rows, attention__turned)
    attention__linear = MatMul (attention__product, w3)
    attention__pool = MaxPool <kernel_shape = [1, 1]> (body__last)
    attention__conv = Conv (attention__pool, w4)
    attention__soft = Softmax (attention__pool)
    attention__sum = Add (attention__conv, attention__soft)
    head__small = Conv (attention__sum, w5)
    head__box = Conv (head__small, w6)
    head__cls = Gemm (attention__linear_flat, w7)
    head__flat = Reshape (head__box, flat)
    output0 = Concat <axis = 1> (head__flat, head__cls)
"""
SHAPES = {
    "w0": (8, 3, 3, 3), "w1": (4, 4, 3, 3), "w2": (16, 12, 1, 1), "w3": (16, 8), "w4": (16, 16, 1, 1),
    "w5": (4, 16, 1, 1), "w6": (1, 4, 1, 1), "w7": (8, 2),
}  # fmt: skip
CONSTANTS = {"halves": np.array([4, 4]), "rows": np.array([1, 16, 64]), "flat": np.array([1, 64])}
REPORT = ""


@pytest.fixture
def network(build: Build) -> onnx.ModelProto:
    text = NETWORK.replace("attention__linear_flat", "flat_rows").replace(
        "head__box =", "flat_rows = Flatten <axis = 2> (attention__linear) head__box ="
    )
    model = build(text, SHAPES, CONSTANTS, output="float[1, m] output0")
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

    print(describe(network, placement, grids))
    assert describe(network, placement, grids) == REPORT
