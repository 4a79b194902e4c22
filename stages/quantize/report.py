"""Placement report: what of a model computes in INT8, where, on which scales, and what does not and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import prod

import onnx

from stages.quantize.graph import Graph
from stages.quantize.placement import Placement, moves
from stages.quantize.placement.head import find_head, is_weighted
from stages.quantize.ranges import Grid
from stages.quantize.ranking.cost import load_of

_NEW_VALUES = {
    "GlobalAveragePool": "averages are new values",
    "MatMul": "product of two activations",
    "Resize": "interpolation gives new values",
}


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A placement in figures.

    Attributes:
        weighted: Operators that multiply with stored weights.
        int8: Those of them that compute in INT8.
        macs_share: Multiply-adds in INT8 by all of them, those of products of activations too; 0 to 1.
        pairs: Of QuantizeLinear and DequantizeLinear on activations.
        scales: Different ones among the pairs.
    """

    weighted: int
    int8: int
    macs_share: float
    pairs: int
    scales: int

    def __str__(self) -> str:
        return (
            f"{self.int8} of {self.weighted} weighted operators in INT8, with {self.macs_share:.1%} of all "
            f"multiply-adds; {self.pairs} Q/DQ pairs on activations, with {self.scales} scales"
        )


def summarize(model: onnx.ModelProto, placement: Placement) -> Summary:
    """Give the figures of a placement.

    Args:
        model: That was placed.
        placement: Of it.

    Raises:
        ModelError: The shape of a tensor is not known.
    """
    graph = Graph(model)
    weighted = {node.name for node in graph.nodes if is_weighted(node, graph.weights)}
    int8 = weighted.intersection(placement.nodes)
    return Summary(
        weighted=len(weighted),
        int8=len(int8),
        macs_share=_share(graph, int8),
        pairs=len(placement.activations),
        scales=len(placement.groups),
    )


def describe(model: onnx.ModelProto, placement: Placement, grids: Mapping[str, Grid]) -> str:
    """Give the report as text for people: a summary, then what each module of the network does.

    A module is the first part of a node's name, as `/model.4` of `/model.4/cv1/conv/Conv`; names are given
    without it. What a tensor is called is the name of the node that makes it.

    Args:
        model: That was placed; its nodes have names.
        placement: Of it.
        grids: Of each tensor of the placement.

    Raises:
        ModelError: The shape of a tensor is not known.
    """
    modules = _Report(Graph(model), placement, grids).modules()
    return "\n\n".join([str(summarize(model, placement)), *modules]) + "\n"


# ---------------------------------------------------------------------------------------------------- text
class _Report:
    """The text under way."""

    def __init__(self, graph: Graph, placement: Placement, grids: Mapping[str, Grid]) -> None:
        self._graph = graph
        self._placement = placement
        self._grids = grids
        self._numbers = {name: number for number, group in enumerate(placement.groups, 1) for name in group}
        self._read: dict[str, list[int]] = {}
        for edge in placement.edges:
            self._read.setdefault(edge.node, []).append(edge.position)
        self._float = dict(_left_in_float(graph, placement, self._read))
        self._told: set[int] = set()

    def modules(self) -> Iterator[str]:
        """Give the text of each module that holds anything to tell."""
        members: dict[str, list[onnx.NodeProto]] = {}
        for node in self._graph.nodes:
            if node.name in self._read or node.name in self._float:
                members.setdefault(_module(node.name), []).append(node)
        for module, nodes in members.items():
            yield "\n".join([self._title(module), *self._lines(module, nodes)])

    def _title(self, module: str) -> str:
        nodes = [node for node in self._graph.nodes if _module(node.name) == module]
        weighted = [node for node in nodes if is_weighted(node, self._graph.weights)]
        int8 = sum(node.name in self._placement.nodes for node in weighted)
        figures = f": {int8} of {len(weighted)} weighted operators in INT8" if weighted else ""
        return f"{module or 'nodes outside of modules'}{figures}"

    def _lines(self, module: str, nodes: Sequence[onnx.NodeProto]) -> Iterator[str]:
        int8 = [row for node in nodes if node.name in self._read for row in self._rows(module, node)]
        yield from _aligned(int8)
        for number in self._news(nodes):
            tensors = [_short(self._tensor(name), module) for name in self._placement.groups[number - 1]]
            yield f"  scale {number} is shared by {', '.join(tensors)}"
        left = [node for node in nodes if node.name in self._float]
        yield from _aligned(
            [("float", node.op_type, _short(node.name, module), self._float[node.name]) for node in left]
        )

    def _rows(self, module: str, node: onnx.NodeProto) -> Iterator[tuple[str, ...]]:
        """Give who reads INT8, of what, and on which scale: a row for each scale."""
        read = [node.input[position] for position in self._read[node.name]]
        part = "shortcut " if node.op_type == "Add" and len(read) == 1 else ""
        for number, names in groupby(read, key=self._numbers.__getitem__):
            tensors = [_short(self._tensor(name), module) for name in names]
            scale = f"scale {number}: {_grid_text(self._grids[self._placement.groups[number - 1][0]])}"
            yield ("INT8", node.op_type, _short(node.name, module), scale, part + ", ".join(tensors))

    def _news(self, nodes: Sequence[onnx.NodeProto]) -> Iterator[int]:
        """Give the scales of several tensors that were not told of yet."""
        for node in nodes:
            for position in self._read.get(node.name, []):
                number = self._numbers[node.input[position]]
                if number not in self._told and len(self._placement.groups[number - 1]) > 1:
                    self._told.add(number)
                    yield number

    def _tensor(self, name: str) -> str:
        """Call a tensor by the node that makes it, if it makes no other: names of tensors can be numbers."""
        maker = self._graph.makers.get(name)
        return maker.name if maker is not None and len(maker.output) == 1 else name


def _module(name: str) -> str:
    return f"/{name.split('/')[1]}" if name.startswith("/") and name.count("/") > 1 else ""


def _short(name: str, module: str) -> str:
    return name.removeprefix(f"{module}/") if module else name


def _grid_text(grid: Grid) -> str:
    return f"{grid.scale:.4g}" + (f", zero at {grid.zero_point}" if grid.unsigned else "")


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"  {'  '.join(cells)}".rstrip()


# ------------------------------------------------------------------------------------------ what stays out
def _left_in_float(
    graph: Graph, placement: Placement, read: Mapping[str, Sequence[int]]
) -> Iterator[tuple[str, str]]:
    """Give the reason for each operator that one might have looked for in INT8, by name.

    Activation functions and decoding are no such operators: the ones are computed within convolutions, the
    other is left out as a whole.
    """
    reasons = {one.node: one.reason for one in placement.left_out}
    decoding = find_head(graph).decoding
    rounded = set(placement.activations)
    for node in graph.nodes:
        if node.name in reasons:
            yield node.name, reasons[node.name]
        elif node.name not in {*decoding, *read} and rounded.intersection([*node.input, *node.output]):
            reason = _reason(graph, node, read)
            if reason:
                yield node.name, reason


def _reason(graph: Graph, node: onnx.NodeProto, read: Mapping[str, Sequence[int]]) -> str:
    if moves(graph, node) or node.op_type == "AveragePool":
        readers = [reader.name for reader in graph.after(node) if reader.name not in read]
        return f"{readers[0]} reads it in float" if readers else ""
    if node.op_type == "Add":
        return "no shortcut past convolutions"
    return _NEW_VALUES.get(node.op_type, "")


# -------------------------------------------------------------------------------------------- multiply-adds
def _share(graph: Graph, int8: set[str]) -> float:
    macs = {node.name: _macs(graph, node) for node in graph.nodes}
    return sum(macs[name] for name in int8) / sum(macs.values())


def _macs(graph: Graph, node: onnx.NodeProto) -> int:
    if is_weighted(node, graph.weights):
        return load_of(graph, node).macs
    if node.op_type != "MatMul":
        return 0
    return prod(graph.shape_of(node.output[0])) * graph.shape_of(node.input[0])[-1]
