"""How an INT8 form came about: what was quantized, what not and why, and what a search for a budget tried."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline.figures import Figure, Interval
from stages.quantize import LeftInFloat


@dataclass(frozen=True, kw_only=True)
class SearchTrial:
    """One INT8 form that the search for the drift budget tried.

    Attributes:
        label: As its steps are called, `trial 3/15`.
        left_in_float: Blocks in higher precision, by the name of their first node; the head is none of them.
        drift_pt: Loss of mAP50-95 against the exported model, in float simulation, in points.
        drift_ci_pt: Its 95 % interval.
        cost: What the cost model predicts, in the unit that the search says.
        p50_ms: Latency of its engine; NaN where none was measured.
        chosen: It is the form that the target gets.
    """

    label: str
    left_in_float: tuple[str, ...]
    drift_pt: Figure
    drift_ci_pt: Interval
    cost: Figure
    p50_ms: Figure = math.nan
    chosen: bool = False


@dataclass(frozen=True, kw_only=True)
class Search:
    """How the layers were found that stay in higher precision.

    Attributes:
        budget_pt: The most that INT8 may lose of mAP50-95 against the exported model, in points.
        blocks: How many could be left in float.
        trials: In the order they were tried.
        cost_model: What the costs rest on.
        cost_unit: `ms`, or `share of float`: of what the model costs with nothing in INT8.
    """

    budget_pt: Figure
    blocks: int
    trials: tuple[SearchTrial, ...]
    cost_model: str
    cost_unit: str


@dataclass(frozen=True, kw_only=True)
class Placement:
    """What of the model became INT8.

    Attributes:
        summary: How much of it, in a sentence.
        left_out: Weighted nodes that did not.
    """

    summary: str
    left_out: tuple[LeftInFloat, ...]
