"""Reconstruction: ranges are judged by the outputs of what reads the tensor."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from stages.quantize.calibration.methods import find_range
from stages.quantize.calibration.observe import observe
from stages.quantize.calibration.reconstruct import METHODS, choose_by_reconstruction
from stages.quantize.calibration.statistics import Statistics, merge
from stages.quantize.calibration.tensors import find_tensors
from stages.quantize.graph import Edge, Graph
from stages.quantize.placement import Placement
from stages.quantize.ranges import Range, grid_of
from stages.stage import no_progress

Build = Callable[..., onnx.ModelProto]
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.gamma(0.3, size=(4, 1, 3, 16, 16)).astype(np.float32)


def placed(*groups: tuple[str, ...], edges: list[tuple[str, int]]) -> Placement:
    return Placement(
        nodes=(),
        edges=tuple(Edge(node, position) for node, position in edges),
        groups=groups,
        weights=(),
        left_out=(),
    )


def seen(model: onnx.ModelProto) -> dict[str, Statistics]:
    return observe(model, find_tensors(Graph(model)), IMAGES, total=len(IMAGES), progress=no_progress)


def choose(model: onnx.ModelProto, placement: Placement, *, symmetric: bool) -> dict[tuple[str, ...], Range]:
    return choose_by_reconstruction(
        model, placement, seen(model), IMAGES, symmetric=symmetric, percentile=99.9
    )


def candidates(statistics: Statistics, *, symmetric: bool) -> list[Range]:
    return [find_range(statistics, one, symmetric=symmetric, percentile=99.9) for one in METHODS]


@pytest.mark.parametrize("symmetric", [True, False])
def test_no_method_has_a_smaller_error_at_the_output(build: Build, symmetric: bool) -> None:
    model = build("output0 = Conv (images, w)", {"w": (4, 3, 3, 3)})
    reader = ReferenceEvaluator(model)

    (found,) = choose(model, placed(("images",), edges=[("output0", 0)]), symmetric=symmetric).values()

    def error(one: Range) -> float:
        grid = grid_of(one, symmetric=symmetric)
        pairs = [[reader.run(None, {"images": x})[0] for x in (image, grid.round(image))] for image in IMAGES]
        return float(sum(np.square(rounded - true).sum() for true, rounded in pairs))

    tried = candidates(seen(model)["images"], symmetric=symmetric)
    assert found in tried
    assert error(found) <= min(map(error, tried)) * 1.001


def test_outliers_that_nobody_makes_use_of_are_clipped(build: Build) -> None:
    model = build("output0 = Conv (images, w)", {"w": (4, 3, 1, 1)})
    weight = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weight[:, 0] = 0.0
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "w"))
    images = IMAGES.copy()
    images[:, :, 0] *= 30
    statistics = observe(model, ["images"], images, total=len(images), progress=no_progress)
    placement = placed(("images",), edges=[("output0", 0)])

    chosen = choose_by_reconstruction(model, placement, statistics, images, symmetric=True, percentile=95)

    assert chosen[("images",)].high < 0.5 * find_range(statistics["images"], "mse", symmetric=True).high


JOINED = """
    a = Conv <pads = [1, 1, 1, 1]> (images, w)
    b = Conv <pads = [1, 1, 1, 1]> (images, w)
    both = Concat <axis = 1> (a, b)
    c = Conv (both, v)
    d = Add (c, a)
    output0 = Relu (d)
"""


@pytest.fixture
def joined(build: Build) -> onnx.ModelProto:
    return build(JOINED, {"w": (4, 3, 3, 3), "v": (4, 8, 1, 1)})


def test_each_group_gets_one_range_and_none_sees_the_rounding_of_another(joined: onnx.ModelProto) -> None:
    groups = (("images",), ("a", "b", "both"))
    edges = [("a", 0), ("b", 0), ("both", 0), ("both", 1), ("c", 0), ("d", 1)]

    together = choose(joined, placed(*groups, edges=edges), symmetric=True)

    assert tuple(together) == groups
    for group in groups:
        assert choose(joined, placed(group, edges=edges), symmetric=True)[group] == together[group]
    statistics = seen(joined)
    merged = merge([statistics[name] for name in groups[1]])
    assert together[groups[1]] in candidates(merged, symmetric=True)


def test_what_is_only_handed_on_keeps_the_least_squared_error(joined: onnx.ModelProto) -> None:
    chosen = choose(joined, placed(("a", "b"), edges=[("both", 0), ("both", 1)]), symmetric=True)

    statistics = seen(joined)
    expected = find_range(merge([statistics["a"], statistics["b"]]), "mse", symmetric=True)
    assert chosen == {("a", "b"): expected}


def test_the_model_is_left_as_it_is(joined: onnx.ModelProto) -> None:
    before = joined.SerializeToString()

    choose(joined, placed(("images",), edges=[("a", 0)]), symmetric=True)

    assert joined.SerializeToString() == before
