"""Observation: how large and how small the values in a model get on real pictures, in one pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import isfinite, prod
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from stages.quantize.calibration.session import Session
from stages.quantize.graph import Graph
from stages.quantize.half.decoding import picture_input
from targets.errors import ModelError

_BOUNDED = {"HardSigmoid", "Sigmoid", "Softmax", "Tanh"}  # what they give is at most 1
# Operators that go wrong where an input vanishes, and which: a divisor, or what a logarithm or root is of.
TOUCHY = {"Div": 1, "Log": 0, "Reciprocal": 0, "Sqrt": 0}
# Operators that sum over many values, and whether they divide the sum by their number afterwards.
_SUMS = {"GlobalAveragePool": True, "ReduceL1": False, "ReduceMean": True, "ReduceSum": False}
_PREFIX = "edgebound/seen/"

Images = NDArray[np.float32]


@dataclass(frozen=True)
class Seen:
    """What was seen on all pictures so far.

    Attributes:
        largest: Largest magnitude of each tensor; of those that cannot exceed 1, none.
        smallest: Smallest magnitude of the tensors that a `TOUCHY` operator works on.
        sums: By node, the largest sum of magnitudes on the way to its result.
    """

    largest: dict[str, float] = field(default_factory=dict)
    smallest: dict[str, float] = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Probe:
    """Operators behind a tensor that give one figure of it.

    Attributes:
        kind: Where in `Seen` the figure belongs.
        subject: The tensor, or node, that it is of.
        nodes: The operators.
        factor: To multiply with what they give.
    """

    kind: Literal["largest", "smallest", "sums"]
    subject: str
    nodes: tuple[onnx.NodeProto, ...]
    factor: float = 1.0


class Observer:
    """A model that also gives the extremes of its tensors.

    Attributes:
        seen: On all pictures that it has looked at.
    """

    def __init__(self, model: onnx.ModelProto, fetched: Sequence[str]) -> None:
        """Open the model; it is not changed.

        Args:
            model: FP32, with named nodes.
            fetched: Tensors that are wanted as they are.

        Raises:
            ModelError: ONNX Runtime cannot run it.
        """
        graph = Graph(model)
        self.seen = Seen()
        self._source = picture_input(model)
        self._probes = list(_probes(graph))
        watched = onnx.ModelProto()
        watched.CopyFrom(model)
        for probe in self._probes:
            watched.graph.node.extend(probe.nodes)
        self._session = Session(watched, [*(probe.nodes[-1].output[0] for probe in self._probes), *fetched])

    def look(self, images: Images) -> list[NDArray[np.float32]]:
        """Run on one picture, remember its extremes, and give the tensors that are wanted as they are.

        Raises:
            ModelError: A tensor is not finite, or the model does not take the picture.
        """
        found = self._session.run({self._source: images})
        for probe, figure in zip(self._probes, found, strict=False):
            value = float(figure) * probe.factor
            if not isfinite(value):
                raise ModelError(
                    f"{probe.subject} is not finite on a calibration picture.",
                    hint="The model overflows in FP32: look at its training.",
                )
            known: dict[str, float] = getattr(self.seen, probe.kind)
            choose = min if probe.kind == "smallest" else max
            known[probe.subject] = choose(value, known.get(probe.subject, value))
        return found[len(self._probes) :]


def _probes(graph: Graph) -> Iterator[_Probe]:
    computed = graph.floats & graph.makers.keys()
    made = [name for node in graph.nodes if node.op_type not in _BOUNDED for name in node.output]
    divisors = [node.input[TOUCHY[node.op_type]] for node in graph.nodes if node.op_type in TOUCHY]
    for name in computed.intersection(made):
        yield _Probe("largest", name, _extreme("largest", name, "ReduceMax"))
    for name in computed.intersection(divisors):
        yield _Probe("smallest", name, _extreme("smallest", name, "ReduceMin"))
    for node in graph.nodes:
        if node.op_type in _SUMS and node.input[0] in computed:
            yield from _sum(graph, node)


def _extreme(kind: str, tensor: str, operator: str, *between: onnx.NodeProto) -> tuple[onnx.NodeProto, ...]:
    """Give operators for an extreme of the magnitudes of a tensor, or of what `between` makes of them."""
    prefix = f"{_PREFIX}{kind}/{tensor}"
    magnitude = helper.make_node("Abs", [tensor], [f"{prefix}/magnitude"])
    source = between[-1].output[0] if between else magnitude.output[0]
    return (magnitude, *between, helper.make_node(operator, [source], [f"{prefix}/extreme"], keepdims=0))


def _sum(graph: Graph, node: onnx.NodeProto) -> Iterator[_Probe]:
    """Let the node itself sum up the magnitudes; a mean is multiplied with their number, if that is known."""
    factor = 1.0
    if _SUMS[node.op_type]:
        sizes = [graph.shapes.get(name) for name in (node.input[0], node.output[0])]
        if None in sizes:
            return
        whole, rest = (prod(size or ()) for size in sizes)
        factor = whole / max(rest, 1)
    summing = onnx.NodeProto.FromString(node.SerializeToString())
    kind = f"sums/{node.name}"
    summing.name = f"{_PREFIX}{kind}/sum"
    summing.input[0] = f"{_PREFIX}{kind}/{node.input[0]}/magnitude"
    summing.output[0] = summing.name
    yield _Probe("sums", node.name, _extreme(kind, node.input[0], "ReduceMax", summing), factor)
