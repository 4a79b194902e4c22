"""Answers of the gate: one figure held against one limit.

Each question is asked as "is it within the limit?", so that NaN never passes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from pipeline.figures import Interval
from pipeline.rung import Check, Verdict
from stages.evaluation.power import pictures_needed

_NO_LIMIT = math.nan
_MANY = 1e6  # pictures that nobody labels for a verdict


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure, and how sure it is.

    Attributes:
        interval: 95 %; None where the figure is exact, or nobody knows.
        spread: Standard deviation over resamples of the pictures, in the same unit.
        pictures: On how many it rests.
        promised: Other figures say that this one was measured, so it can only have been lost.
    """

    value: float
    interval: Interval | None = None
    spread: float = math.nan
    pictures: int = 0
    promised: bool = False

    @property
    def was_lost(self) -> bool:
        """Say whether a part of it is gone, which no measurement leaves behind."""
        if not self.interval:
            return self.promised and math.isnan(self.value)
        low, high = map(math.isnan, self.interval)
        return low != high or (math.isnan(self.value) and (self.promised or not low))


def hold(measure: str, found: Estimate, *, limit: float, unit: str = "") -> Check:
    """Hold a figure, and its 95 % interval if it has one, against the most that passes."""
    value = found.value
    low, high = found.interval or (value, value)
    verdict = _verdict(value, low, high, limit)
    if found.was_lost:
        return lose(measure, limit, unit)
    if any(map(math.isnan, (value, low, high, limit))):
        reason = f"{measure} was not measured, limit {_say(limit, unit, 2)}"
    else:
        digits = 4 if 0 < min(abs(figure - limit) for figure in (value, low, high)) < 0.005 else 2
        spread = f" (95 % interval {low:.{digits}f} to {high:.{digits}f})" if found.interval else ""
        reason = f"{measure} {_say(value, unit, digits)}{spread}, limit {_say(limit, unit, digits)}"
        if found.pictures and verdict == "inconclusive":
            reason += f": {_too_few(found, limit)}"
    return Check(
        measure=measure,
        value=value,
        low=low,
        high=high,
        limit=limit,
        unit=unit,
        verdict=verdict,
        reason=reason,
    )


def _verdict(value: float, low: float, high: float, limit: float) -> Verdict:
    if any(map(math.isnan, (value, low, high, limit))):
        return "inconclusive"
    # A percentile interval need not hold its own estimate: the worse of the two bounds a pass.
    if max(low, value, high) <= limit:
        return "pass"
    return "refuse" if min(low, value) > limit else "inconclusive"


def _say(figure: float, unit: str, digits: int) -> str:
    return f"{figure:.{digits}f} {unit}".rstrip()


def _too_few(found: Estimate, limit: float) -> str:
    """Say how many pictures it would take."""
    needed = pictures_needed(gap_pt=limit - found.value, spread_pt=found.spread, pictures=found.pictures)
    if not needed < _MANY:
        return f"no reasonable number of validation pictures would settle it, there are {found.pictures}"
    needed = max(needed, found.pictures + 1)  # these did not tell
    step = 10 ** max(0, math.floor(math.log10(needed)) - 1)  # two figures: it is an estimate
    about = math.ceil(needed / step) * step
    return f"about {about} validation pictures would settle it, there are {found.pictures}"


def lose(measure: str, limit: float = _NO_LIMIT, unit: str = "") -> Check:
    """Answer that a figure was measured and is gone: a damaged report is no better one."""
    reason = f"a figure of {measure} is lost: what was measured with it is there"
    lost = answer(measure, "refuse", reason, value=math.nan, unit=unit)
    return replace(lost, limit=limit)


def leave_open(measure: str, reason: str, value: float = math.nan, unit: str = "") -> Check:
    """Give the answer to a question that cannot be answered."""
    return answer(measure, "inconclusive", reason, value=value, unit=unit)


def answer(measure: str, verdict: Verdict, reason: str, *, value: float, unit: str = "") -> Check:
    """Give the answer to a question that has no limit."""
    return Check(
        measure=measure, value=value, low=value, high=value, limit=_NO_LIMIT, unit=unit, verdict=verdict,
        reason=reason,
    )  # fmt: skip
