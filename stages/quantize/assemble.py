"""Assemble: from a float model, its placement and what calibration saw, to a Q/DQ graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.quantize import Quantize
from stages.quantize.bias import correct_biases
from stages.quantize.calibration.methods import find_range
from stages.quantize.calibration.reconstruct import choose_by_reconstruction
from stages.quantize.calibration.statistics import Statistics, merge
from stages.quantize.graph import Graph
from stages.quantize.grids import Group, find_grids, find_saturating
from stages.quantize.insert import insert_qdq
from stages.quantize.placement import Placement, place
from stages.quantize.ranges import Grid, Range
from targets.model import InputSpec
from targets.profile import Dialect

_RECONSTRUCTED = 8  # pictures; more change hardly a choice


@dataclass(frozen=True, kw_only=True)
class Groundwork:
    """All that is decided before anything is inserted; parts of it can be inserted alone.

    Attributes:
        model: FP32, with named nodes.
        statistics: What calibration saw, by tensor.
        placement: All that becomes INT8.
        grids: How its tensors are rounded.
        reduced: Weights that are stored in 7 bits.
        correct_bias: Correct biases for the error of rounded weights.
        limits: Largest magnitude of each channel, (channels,), of weights that were trained within it; the
            others keep all of their values.
    """

    model: onnx.ModelProto
    statistics: Mapping[str, Statistics]
    placement: Placement
    grids: Mapping[str, Grid]
    reduced: frozenset[str]
    correct_bias: bool
    limits: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def assemble(self, part: Placement | None = None) -> onnx.ModelProto:
        """Give the Q/DQ graph of all or a part of the placement, at the model's opset, scales in FP32."""
        placement = part or self.placement
        model = self.model
        if self.correct_bias:
            model = correct_biases(model, placement, self.statistics, reduced=self.reduced)
        return insert_qdq(model, placement, self.grids, reduced=self.reduced, limits=self.limits)


def lay(
    model: onnx.ModelProto,
    statistics: Mapping[str, Statistics],
    settings: Quantize,
    *,
    dialect: Dialect,
    spec: InputSpec,
    images: Iterable[NDArray[np.float32]],
) -> Groundwork:
    """Decide what becomes INT8, how it is rounded, and which weights need a bit to spare.

    Args:
        model: FP32, with named nodes.
        statistics: What calibration saw, by tensor.
        settings: What stays out, and how ranges are found.
        dialect: Of the target.
        spec: Of the model's input.
        images: Calibration pictures, (1, 3, H, W) each; a few are looked at where the method wants to.

    Raises:
        ModelError: The model is quantized already, or nothing in it can be.
        UsageError: A pattern of `settings.exclude` fits no node.
    """
    placement = place(model, exclude=settings.exclude, tensor_cores=dialect.tensor_cores)
    ranges = _find_ranges(model, placement, statistics, settings, symmetric=dialect.symmetric, images=images)
    graph = Graph(model)
    grids = find_grids(ranges, dialect=dialect, picture=(graph.sources[0], spec))
    saturating = find_saturating(graph, placement, grids, statistics) if dialect.reduced_range else ()
    return Groundwork(
        model=model,
        statistics=statistics,
        placement=placement,
        grids=grids,
        reduced=frozenset(saturating),
        correct_bias=settings.correct_bias,
    )


def _find_ranges(
    model: onnx.ModelProto,
    placement: Placement,
    statistics: Mapping[str, Statistics],
    settings: Quantize,
    *,
    symmetric: bool,
    images: Iterable[NDArray[np.float32]],
) -> dict[Group, Range]:
    if settings.method == "reconstruction":
        return choose_by_reconstruction(
            model,
            placement,
            statistics,
            islice(images, _RECONSTRUCTED),
            symmetric=symmetric,
            percentile=settings.percentile,
        )
    find = partial(find_range, method=settings.method, symmetric=symmetric, percentile=settings.percentile)
    found: dict[Group, Range] = {}
    for group in placement.groups:
        seen = [statistics[name] for name in group if name in statistics]
        found[group] = find(merge(seen)) if seen else Range(0.0, 0.0)  # a tensor that never holds a value
    return found
