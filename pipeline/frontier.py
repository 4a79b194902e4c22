"""The frontier of pruning: what each ratio costs and gives, and which one to go on with. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pipeline.figures import MISSING, Figure, Interval
from targets.errors import BudgetError

RATIOS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
"""Those that a search for `max_drift_pt` chooses from: each costs a fine-tuning."""
FINE_RATIOS = tuple(round(0.05 * place, 2) for place in range(1, 17))
"""Those that a search for `target_latency_ms` chooses from, 0.05 to 0.8: speed needs no tuning."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """What a ratio gave.

    Attributes:
        ratio: Part of the channels that went, 0 to 1; 0 for the uncut model.
        gmac: Of one picture, in 10⁹ multiply-accumulates; NaN for the uncut model, which nobody counted.
        gmac_before: Of the model that was cut.
        parameters: How many are left.
        drift_pt: Loss of mAP50-95 against the baseline after fine-tuning, in points; NaN where only speed was
            asked for.
        drift_ci_pt: Its 95 % interval.
        latency_ms: Of one picture on the slowest target of the run.
        latency_source: What that rests on: a measurement, or the cost model.
        chosen: The run went on with it.
    """

    ratio: float
    gmac: Figure = math.nan
    gmac_before: Figure = math.nan
    parameters: int = 0
    drift_pt: Figure = math.nan
    drift_ci_pt: Interval = MISSING
    latency_ms: Figure = math.nan
    latency_source: str = ""
    chosen: bool = False


def search_ratio(
    ratios: Sequence[float], try_ratio: Callable[[float], Point], *, limit_pt: float, must: bool
) -> tuple[float, tuple[Point, ...]]:
    """Find the largest ratio whose drift is within a limit.

    Args:
        ratios: To try, all of them; without any, the range of `RATIOS` is halved, as drift grows with them.
        try_ratio: Cuts, tunes and compares.
        limit_pt: The most that it may lose, in points.
        must: A ratio within the limit is a must; otherwise the smallest is taken if none is.

    Returns:
        The ratio, and all that were tried, by ratio, the chosen one marked.

    Raises:
        BudgetError: None is within the limit, but one must be.
    """
    tried = (
        [try_ratio(ratio) for ratio in sorted(ratios)]
        if ratios
        else _halve(RATIOS, try_ratio, lambda one: one.drift_pt <= limit_pt)
    )
    within = [one for one in tried if one.drift_pt <= limit_pt]
    if must and not within:
        best = min(tried, key=lambda one: one.drift_pt)
        raise BudgetError(
            f"No ratio is within prune.max_drift_pt: {limit_pt:g}. The nearest of {len(tried)} is"
            f" {best.ratio:g}: {best.drift_pt:.2f} pt.",
            hint="Raise prune.steps, so that it is tuned longer, or prune.max_drift_pt.",
        )
    chosen = max(within, key=lambda one: one.ratio) if within else tried[0]
    return chosen.ratio, _marked(tried, chosen.ratio)


def search_speed(try_ratio: Callable[[float], Point], *, target_ms: float) -> tuple[float, tuple[Point, ...]]:
    """Find the smallest ratio that is fast enough.

    Args:
        try_ratio: Cuts and times; with 0 the uncut model.
        target_ms: What a picture may take.

    Returns:
        The ratio, 0 if the uncut model is fast enough; and all that were tried, by ratio, that one marked.

    Raises:
        BudgetError: Not even the largest is fast enough.
    """
    whole = try_ratio(0.0)
    if whole.latency_ms <= target_ms:
        return 0.0, _marked([whole], 0.0)
    tried = [whole, *_halve(FINE_RATIOS, try_ratio, lambda one: not one.latency_ms <= target_ms)]
    within = [one for one in tried if one.latency_ms <= target_ms]
    if not within:
        best = min(tried, key=lambda one: one.latency_ms)
        raise BudgetError(
            f"No ratio is within prune.target_latency_ms: {target_ms:g}. The fastest of {len(tried)} is"
            f" {best.ratio:g}: {best.latency_ms:.3g} ms ({best.latency_source}).",
            hint="Train a smaller model or at fewer pixels (train.imgsz), or allow more time.",
        )
    chosen = min(within, key=lambda one: one.ratio)
    return chosen.ratio, _marked(tried, chosen.ratio)


def _halve(
    ratios: Sequence[float], try_ratio: Callable[[float], Point], goes_on: Callable[[Point], bool]
) -> list[Point]:
    """Try the middle of what is left, and go on above it or below."""
    low, high = 0, len(ratios)
    tried = []
    while low < high:
        middle = (low + high) // 2
        point = try_ratio(ratios[middle])
        tried.append(point)
        if goes_on(point):
            low = middle + 1
        else:
            high = middle
    return tried


def _marked(tried: Sequence[Point], ratio: float) -> tuple[Point, ...]:
    points = sorted(tried, key=lambda one: one.ratio)
    return tuple(replace(one, chosen=one.ratio == ratio) for one in points)
