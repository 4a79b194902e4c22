"""Grids: how each tensor of a placement is rounded, and which weights need a bit to spare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stages.quantize.calibration.statistics import Statistics
from stages.quantize.graph import Graph
from stages.quantize.placement import Placement
from stages.quantize.ranges import Grid, Range, grid_of
from targets.model import InputSpec
from targets.profile import Dialect

Group = tuple[str, ...]

_BYTES = 255
_BRIGHT = 129  # from here on, 2 * u8 * 127 no longer fits into 16 bits
_BRIGHT_SHARE = 0.1  # of the values; pictures have most of theirs there, the outputs of SiLU 0 to 5 %


def find_grids(
    ranges: Mapping[Group, Range], *, dialect: Dialect, picture: tuple[str, InputSpec]
) -> dict[str, Grid]:
    """Give a grid to each tensor; those of a group get the same.

    Args:
        ranges: By group of a placement.
        dialect: Of the target.
        picture: Name of the network's input, and what it holds: bytes, scaled, so that a grid of 256 steps
            rounds nothing.
    """
    grids: dict[str, Grid] = {}
    name, spec = picture
    whole = Range(0.0, _BYTES * spec.scale)
    for group, found in ranges.items():
        kept = found
        # Parts of the picture (Focus) are as it is; what is joined with it and larger keeps its range.
        if name in group and not dialect.symmetric and found.low >= 0 and found.high <= whole.high:
            kept = whole
        grids |= dict.fromkeys(group, grid_of(kept, symmetric=dialect.symmetric))
    return grids


def find_saturating(
    graph: Graph, placement: Placement, grids: Mapping[str, Grid], statistics: Mapping[str, Statistics]
) -> Iterator[str]:
    """Give the weights of the nodes whose sums of two products overflow 16 bits time and again.

    Signed activations are stored with an offset of half the range (`targets.runtimes.ov_signed`), so
    that theirs all do.
    """
    for name in placement.nodes:
        node = graph.named[name]
        if len(node.input) > 1 and node.input[0] in grids and node.input[0] in statistics:
            grid = grids[node.input[0]]
            if not grid.unsigned or _share_above(statistics[node.input[0]], grid) > _BRIGHT_SHARE:
                yield node.input[1]


def _share_above(statistics: Statistics, grid: Grid) -> float:
    """Give the share of values whose integer is at least `_BRIGHT`."""
    limit = (_BRIGHT - grid.zero_point) * grid.scale
    above = statistics.counts[statistics.edges[:-1] >= limit].sum()
    return float(above / statistics.counts.sum()) if statistics.counts.sum() else 0.0
