"""Learned ranges in the place of calibrated ones: weights are rounded as they were in training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stages.learned import LayerRange, Learned
from stages.quantize.assemble import Groundwork
from stages.quantize.graph import Graph
from stages.quantize.grids import find_saturating
from stages.quantize.placement import Weight
from stages.quantize.ranges import Range, grid_of
from targets.errors import DataError
from targets.profile import Dialect

_PARAMETER = ".weight"  # ends the name of a layer's weights in the graph


def with_learned(ground: Groundwork, learned: Learned, dialect: Dialect) -> Groundwork:
    """Give the same placement, rounded as in training.

    A tensor keeps what the layers that read it were trained with; where the target's grid need not be
    symmetric, its lower end is the calibrated one if that is nearer, so that the steps are finer than those
    of training and never coarser. Tensors that no trained layer reads keep their calibrated ranges, and so
    does the picture. Biases stay: normalisation has seen rounded weights.

    Args:
        ground: With calibrated ranges.
        learned: By layer.
        dialect: Of the target.

    Raises:
        DataError: `learned` is of another model.
    """
    graph = Graph(ground.model)
    limits = dict(_limits(graph, ground.placement.weights, learned))
    if not limits and not any(_layer(name) in learned for name in graph.weights):
        raise DataError(
            "The ranges of quantization-aware training fit no layer of the model.",
            hint="Export the checkpoint that came with them.",
        )
    grids = dict(ground.grids)
    for group, limit in _by_group(graph, ground, learned):
        low = -limit if dialect.symmetric else max(-limit, _lowest(ground, group))
        grids |= dict.fromkeys(group, grid_of(Range(low, limit), symmetric=dialect.symmetric))
    reduced = (
        find_saturating(graph, ground.placement, grids, ground.statistics) if dialect.reduced_range else ()
    )
    return replace(ground, grids=grids, limits=limits, reduced=frozenset(reduced), correct_bias=False)


def _by_group(graph: Graph, ground: Groundwork, learned: Learned) -> Iterator[tuple[tuple[str, ...], float]]:
    """Give the largest magnitude for each group of tensors that a trained layer reads."""
    read: dict[str, float] = {}
    for name in ground.placement.nodes:
        node = graph.named[name]
        layer = learned.get(_layer(node.input[1])) if len(node.input) > 1 else None
        if layer is not None:
            read[node.input[0]] = max(layer.inputs, read.get(node.input[0], 0.0))
    for group in ground.placement.groups:
        limits = [read[name] for name in group if name in read]
        if limits and graph.sources[0] not in group:
            yield group, max(limits)


def _lowest(ground: Groundwork, group: tuple[str, ...]) -> float:
    return min((ground.statistics[name].low for name in group if name in ground.statistics), default=0.0)


def _limits(
    graph: Graph, weights: tuple[Weight, ...], learned: Mapping[str, LayerRange]
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Give the largest magnitude of each channel of the weights that were trained as they are exported.

    Raises:
        DataError: There are more or fewer of them than channels.
    """
    for weight in weights:
        layer = learned.get(_layer(weight.name))
        if layer is None or not layer.weights:
            continue
        channels = graph.weights[weight.name].dims[weight.axis]
        if len(layer.weights) != channels:
            raise DataError(
                f"{weight.name} has {channels} channels, but {len(layer.weights)} were trained for INT8.",
                hint="Export the checkpoint that came with the ranges.",
            )
        yield weight.name, np.array(layer.weights, np.float32)


def _layer(parameter: str) -> str:
    return parameter.removesuffix(_PARAMETER)
