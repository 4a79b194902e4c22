"""Reconstruction: of the ranges that the methods find, that with which the readers of a tensor do best."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from stages.quantize.calibration.methods import RangeMethod, find_range
from stages.quantize.calibration.session import Session
from stages.quantize.calibration.statistics import Statistics, merge
from stages.quantize.graph import Graph
from stages.quantize.placement import Placement, moves
from stages.quantize.ranges import Grid, Range, grid_of

METHODS: tuple[RangeMethod, ...] = ("mse", "minmax", "percentile", "entropy")
"""What is tried; the first where nothing is to be measured, and among equals."""

Group = tuple[str, ...]


def choose_by_reconstruction(
    model: onnx.ModelProto,
    placement: Placement,
    statistics: Mapping[str, Statistics],
    images: Iterable[NDArray[np.float32]],
    *,
    symmetric: bool,
    percentile: float,
) -> dict[Group, Range]:
    """Find for each group of tensors the range with the least error at the outputs of what reads them.

    Each reader computes twice, from the tensor and from its rounded form, weights in float both times; the
    error is the squared difference over the squared output, summed over readers. Nothing that is rounded
    feeds anything but the reader itself, so that all groups are measured at once.

    Args:
        model: FP32, with named nodes.
        placement: What becomes INT8.
        statistics: By tensor.
        images: (1, 3, H, W) each; some of those that calibrated. Eight do.
        symmetric: Grids are symmetric about 0.
        percentile: For the method of that name, in percent.

    Returns:
        By group of the placement.
    """
    merged = [merge([statistics[name] for name in group]) for group in placement.groups]
    tried = [
        [find_range(one, method, symmetric=symmetric, percentile=percentile) for one in merged]
        for method in METHODS
    ]
    grids = [[grid_of(found, symmetric=symmetric) for found in ranges] for ranges in tried]
    errors = _measure(Graph(model), placement, grids, images)
    best = np.argmin(errors, axis=0)
    return {group: tried[best[place]][place] for place, group in enumerate(placement.groups)}


def _measure(
    graph: Graph,
    placement: Placement,
    grids: Sequence[Sequence[Grid]],
    images: Iterable[NDArray[np.float32]],
) -> NDArray[np.float64]:
    """Give the error of each group, (tries, groups), with the grids of each try; 0 where nothing reads it."""
    comparisons = list(_comparisons(graph, placement))
    session = Session(
        _comparing(graph.model, comparisons), [name for one in comparisons for name in one.figures]
    )
    feeds = [_feeds(tried) for tried in grids]
    found = np.zeros((len(grids), len(comparisons), 2))
    for image in images:
        for number, scalars in enumerate(feeds):
            figures = session.run({graph.sources[0]: image, **scalars})
            found[number] += np.array(figures, np.float64).reshape(-1, 2)
    errors = np.zeros((len(grids), len(placement.groups)))
    for place, comparison in enumerate(comparisons):
        noise, power = found[:, place].T
        errors[:, comparison.group] += noise / np.maximum(power, np.finfo(np.float64).tiny)
    return errors


def _feeds(grids: Sequence[Grid]) -> dict[str, NDArray[np.float32]]:
    """Give the scalars that say how each group is rounded."""
    found: dict[str, NDArray[np.float32]] = {}
    for group, grid in enumerate(grids):
        low, high = (0, 255) if grid.unsigned else (-128, 127)
        values = (grid.scale, low - grid.zero_point, high - grid.zero_point)
        found |= {
            name: np.array(value, np.float32) for name, value in zip(_scalars(group), values, strict=True)
        }
    return found


def _scalars(group: int) -> tuple[str, str, str]:
    """Name the scale of a group, and the first and the last integer of its grid, counted from 0."""
    return f"group{group}_scale", f"group{group}_first", f"group{group}_last"


# -------------------------------------------------------------------------------------------------- graph
@dataclass(frozen=True)
class _Comparison:
    """A node, and the same node with some of its inputs rounded.

    Attributes:
        group: Whose grid rounds; the place in the placement.
        node: As in the model.
        rounded: Its inputs that are rounded.
    """

    group: int
    node: onnx.NodeProto
    rounded: frozenset[int]

    @property
    def figures(self) -> tuple[str, str]:
        """Names of the squared difference and of the squared output."""
        prefix = f"group{self.group}_{self.node.name}"
        return f"{prefix}_noise", f"{prefix}_power"


def _comparisons(graph: Graph, placement: Placement) -> Iterator[_Comparison]:
    """Find who reads the tensors of each group, other than to hand them on as they are."""
    edges: dict[str, set[int]] = {}
    for edge in placement.edges:
        edges.setdefault(edge.node, set()).add(edge.position)
    for number, group in enumerate(placement.groups):
        for name, positions in edges.items():
            node = graph.named[name]
            rounded = frozenset(place for place in positions if node.input[place] in group)
            if rounded and not moves(graph, node):
                yield _Comparison(number, node, rounded)


def _comparing(model: onnx.ModelProto, comparisons: Sequence[_Comparison]) -> onnx.ModelProto:
    """Give a model that computes the figures too, with the grids as inputs."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    groups = dict.fromkeys(one.group for one in comparisons)
    result.graph.input.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, []) for one in groups for name in _scalars(one)
    )
    done: set[str] = set()
    for comparison in comparisons:
        for node in (*_roundings(comparison, done), *_difference(comparison)):
            result.graph.node.append(node)
    return result


def _rounded(group: int, tensor: str) -> str:
    return f"group{group}_{tensor}"


def _roundings(comparison: _Comparison, done: set[str]) -> Iterator[onnx.NodeProto]:
    """Round those inputs that have not been yet: clip(round(x / scale), first, last) * scale."""
    scale, first, last = _scalars(comparison.group)
    for place in sorted(comparison.rounded):
        name = _rounded(comparison.group, comparison.node.input[place])
        if name not in done:
            done.add(name)
            yield helper.make_node("Div", [comparison.node.input[place], scale], [f"{name}_steps"])
            yield helper.make_node("Round", [f"{name}_steps"], [f"{name}_integers"])
            yield helper.make_node("Clip", [f"{name}_integers", first, last], [f"{name}_clipped"])
            yield helper.make_node("Mul", [f"{name}_clipped", scale], [name])


def _difference(comparison: _Comparison) -> Iterator[onnx.NodeProto]:
    again = onnx.NodeProto()
    again.CopyFrom(comparison.node)
    noise, power = comparison.figures
    again.name = f"{noise}_again"
    for place in comparison.rounded:
        again.input[place] = _rounded(comparison.group, again.input[place])
    true, rounded = comparison.node.output[0], f"{noise}_rounded"
    again.output[:] = [
        rounded,
        *(f"{noise}_{place}" if name else "" for place, name in enumerate(again.output[1:])),
    ]
    yield again
    yield helper.make_node("Sub", [rounded, true], [f"{noise}_difference"])
    yield helper.make_node("ReduceSumSquare", [f"{noise}_difference"], [noise], keepdims=0)
    yield helper.make_node("ReduceSumSquare", [true], [power], keepdims=0)
