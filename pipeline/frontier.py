"""The frontier of pruning: what each ratio costs in accuracy, and the one to go on with. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pipeline.figures import Figure, Interval
from targets.errors import BudgetError

RATIOS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
"""Those that a search for `max_drift_pt` chooses from: each costs a fine-tuning."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """What a ratio gave.

    Attributes:
        ratio: Part of the channels that went, 0 to 1.
        gmac: Of one picture, in 10⁹ multiply-accumulates.
        gmac_before: Of the model that was cut.
        parameters: How many are left.
        drift_pt: Loss of mAP50-95 against the baseline after fine-tuning, in points.
        drift_ci_pt: Its 95 % interval.
        chosen: The run went on with it.
    """

    ratio: float
    gmac: Figure
    gmac_before: Figure
    parameters: int
    drift_pt: Figure
    drift_ci_pt: Interval
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
    tried = [try_ratio(ratio) for ratio in sorted(ratios)] if ratios else _halve(try_ratio, limit_pt)
    within = [one for one in tried if one.drift_pt <= limit_pt]
    if must and not within:
        best = min(tried, key=lambda one: one.drift_pt)
        raise BudgetError(
            f"No ratio is within prune.max_drift_pt: {limit_pt:g}. The nearest of {len(tried)} is"
            f" {best.ratio:g}: {best.drift_pt:.2f} pt.",
            hint="Raise prune.steps, so that it is tuned longer, or prune.max_drift_pt.",
        )
    chosen = max(within, key=lambda one: one.ratio) if within else tried[0]
    points = sorted(tried, key=lambda one: one.ratio)
    return chosen.ratio, tuple(replace(one, chosen=one.ratio == chosen.ratio) for one in points)


def _halve(try_ratio: Callable[[float], Point], limit_pt: float) -> list[Point]:
    low, high = 0, len(RATIOS)
    tried = []
    while low < high:
        middle = (low + high) // 2
        point = try_ratio(RATIOS[middle])
        tried.append(point)
        if point.drift_pt <= limit_pt:
            low = middle + 1
        else:
            high = middle
    return tried
