"""Trial: a model in FP16 with some nodes in FP32, against the model in FP32."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.evaluation.half import half_simulated
from stages.quantize.calibration.session import Session
from stages.quantize.half.convert import half_nodes, to_half
from stages.quantize.half.gap import Gap, Judge, Output, summarize

Feeds = Mapping[str, NDArray[np.float32]]
Case = tuple[Feeds, Output]
"""Inputs of a model, and its output in FP32."""


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far detections may move; see `Gap`.

    Attributes:
        boxes_px: In pixels of the input.
        scores: 0 to 1.
    """

    boxes_px: float
    scores: float

    def used(self, gap: Gap) -> float:
        """Give how much of it a gap uses up; at most 1 is within."""
        return max(gap.boxes_px / self.boxes_px, gap.scores / self.scores)


class Trials:
    """One model, tried with different nodes in FP32.

    Attributes:
        nodes: Names of those that may be in FP16, in the order of the graph.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        cases: Callable[[], Iterable[Case]],
        *,
        judge: Judge,
        fixed: Collection[str] = (),
        only: bool = True,
    ) -> None:
        """Take a model.

        Args:
            model: FP32, with named nodes; its first output is judged.
            cases: Gives inputs with the output of the model in FP32, as often as it is called.
            judge: Compares outputs.
            fixed: Nodes that stay in FP32 in all trials.
            only: No others do for their sake; otherwise it is as `to_half` has it.
        """
        self.nodes = [name for name in half_nodes(model) if name not in fixed]
        self._model = model
        self._cases = cases
        self._judge = judge
        self._fixed = frozenset(fixed)
        self._only = only
        self._known: dict[frozenset[str], Gap] = {}

    def gap(self, kept: Collection[str]) -> Gap:
        """Measure with these nodes in FP32, and all others in FP16."""
        key = frozenset(kept)
        if key not in self._known:
            half = half_simulated(to_half(self._model, key | self._fixed, only=self._only))
            session = Session(half, [half.graph.output[0].name])
            self._known[key] = summarize(
                [self._judge.compare(wanted, session.run(feeds)[0]) for feeds, wanted in self._cases()]
            )
        return self._known[key]

    def gap_of(self, node: str) -> Gap:
        """Measure with this node alone in FP16."""
        return self.gap([one for one in self.nodes if one != node])
