"""Accuracy against latency: the forms that a search tried, as points in a plane."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.int8 import Search, SearchTrial
from pipeline.report.drawing import Scale, axis, line, row, svg
from pipeline.report.markup import Markup, tag
from pipeline.report.words import figure
from pipeline.subset import pareto

_HEIGHT = 240  # pixels
_LEAST_PT = 0.2  # of the budget in the scale: a budget of 0 still has a height


@dataclass(frozen=True)
class _Point:
    """A trial on the chart: what it takes, in the unit of the axis, and which it was."""

    trial: SearchTrial
    number: int
    x: float


def is_timed(search: Search) -> bool:
    """Say whether engines were measured; the others have a prediction."""
    return any(math.isfinite(one.p50_ms) for one in search.trials)


def cost_of(trial: SearchTrial, search: Search) -> float:
    """Give the predicted cost as it is shown: in milliseconds, or in percent of the float model."""
    return trial.cost if search.cost_unit == "ms" else 100 * trial.cost


def cost_digits(search: Search) -> int:
    """Say how many digits of a predicted cost are told: a nano model takes hundredths of a millisecond."""
    return 4 if search.cost_unit == "ms" else 1


def cost_words(search: Search) -> str:
    """Say what predicted costs are."""
    return "ms, predicted" if search.cost_unit == "ms" else "% of float, predicted"


def pareto_chart(search: Search, unit: str = "") -> Markup | None:
    """Draw drift against latency, or against what the cost model predicts where nothing was measured.

    Args:
        search: With its trials.
        unit: Of the costs, in words; by default the cost model's.
    """
    timed = is_timed(search)
    points = [
        _Point(one, number, one.p50_ms if timed else cost_of(one, search))
        for number, one in enumerate(search.trials, 1)
    ]
    points = [one for one in points if math.isfinite(one.x) and math.isfinite(one.trial.drift_pt)]
    if len(points) < 2:
        return None
    across, up = _across(points), _up(points, search.budget_pt)
    unit = unit or ("milliseconds, p50" if timed else cost_words(search))
    chosen = next((one for one in points if one.trial.chosen), points[0])
    beyond = sorted((one for one in points if not _is_within(one, up)), key=lambda one: one.x)
    drawn = svg(_HEIGHT, _ground(across, up, search.budget_pt), _front(points, across, up), [
        _marks(one, across, up, search.budget_pt, beyond) for one in points
    ])  # fmt: skip
    short = "ms" if timed or search.cost_unit == "ms" else "%"
    cost = figure(chosen.x, 2 if timed else cost_digits(search))
    value = f"{figure(chosen.trial.drift_pt)} pt at {cost} {short}"
    plot = row("Drift", "points of mAP50-95", drawn, value, f"chosen; budget {figure(search.budget_pt)} pt")
    return tag("figure", plot, axis(across, unit), role="img", aria_label=_said(points, search, unit))


def _across(points: Sequence[_Point]) -> Scale:
    low, high = (end(one.x for one in points) for end in (min, max))
    margin = max(0.12 * (high - low), 0.02 * abs(high), 1e-6)
    return Scale(low - margin, high + margin)


def _up(points: Sequence[_Point], budget_pt: float) -> Scale:
    """Let the budget lie in the lower half; what lost far more gets an arrow, not a scale of its own."""
    ends = [
        end for one in points for end in (one.trial.drift_pt, *one.trial.drift_ci_pt) if math.isfinite(end)
    ]
    unit = max(budget_pt, _LEAST_PT)
    best = min(one.trial.drift_pt for one in points)  # that is better than the baseline is always within
    sure = [one.trial.drift_ci_pt[0] for one in points if one.trial.drift_ci_pt[1] < 0]  # with its interval
    low, high = max(min([0.0, *ends]), min([-unit, best, *sure])), min(max([1.3 * unit, *ends]), 2.5 * unit)
    return Scale(low - 0.06 * (high - low), high + 0.06 * (high - low))


def _is_within(point: _Point, up: Scale) -> bool:
    return up.low <= point.trial.drift_pt <= up.high


def _y(up: Scale, value: float) -> float:
    return _HEIGHT * (1 - up.share(value) / 100)


def _ground(across: Scale, up: Scale, budget_pt: float) -> Iterator[Markup]:
    """Draw the grid, and hatch what is beyond the budget."""
    yield from (line("grid", across.at(tick), 0, _HEIGHT) for tick in across.ticks())
    for tick in up.ticks():
        y = _y(up, tick)
        yield tag("line", class_="zero" if abs(tick) < 1e-9 else "grid", x1="0", x2="100%", y1=y, y2=y)
        yield tag("text", f"{tick:g}", x="0", y=y - 3)
    y = _y(up, budget_pt)
    yield tag("rect", class_="beyond", x="0", y=0, width="100%", height=y)
    yield tag("line", class_="limit", x1="0", x2="100%", y1=y, y2=y)
    yield tag("text", f"budget {figure(budget_pt)} pt", x="100%", y=y - 5, text_anchor="end")


def _front(points: Sequence[_Point], across: Scale, up: Scale) -> Markup:
    """Draw the line through the points that no other beats in both."""
    places = pareto([(one.x, one.trial.drift_pt) for one in points])
    ends = [
        f"{across.share(points[place].x):.2f} {100 - up.share(points[place].trial.drift_pt):.2f}"
        for place in places
    ]
    path = tag("path", class_="curve front", d=f"M{' L'.join(ends)}")
    return tag("svg", path, viewBox="0 0 100 100", preserveAspectRatio="none", width="100%", height=_HEIGHT)


def _marks(point: _Point, across: Scale, up: Scale, budget_pt: float, beyond: Sequence[_Point]) -> Markup:
    """Draw a trial; those beyond the scale, from the left, have their names one below the other."""
    trial, x = point.trial, across.at(point.x)
    y = _y(up, trial.drift_pt)
    tone = "tone-pass" if trial.drift_pt <= budget_pt else "tone-refuse"
    shapes = [_spread(trial, x, up)]
    if point not in beyond:
        shapes.append(tag("circle", class_="ring", cx=x, cy=y, r=11) if trial.chosen else Markup())
        shapes.append(tag("circle", tag("title", _title(point)), class_="estimate", cx=x, cy=y, r=6))
    else:
        arrow = tag("polygon", tag("title", _title(point)), class_="arrow", points="-8,14 0,0 8,14")
        shapes.append(tag("svg", arrow, x=x, y=0, overflow="visible"))
    row_y = 22 + 14 * (beyond.index(point) % 3) if point in beyond else max(y, 22)
    name = f"{point.number}, {figure(trial.drift_pt)} pt" if point in beyond else str(point.number)
    shapes.append(_name(point, across, row_y, name, within=trial.drift_pt <= budget_pt))
    return tag("g", shapes, class_=tone)


def _name(point: _Point, across: Scale, y: float, name: str, *, within: bool) -> Markup:
    """Write a trial's number beside its point: where neither the front nor, near it, the budget passes."""
    share = across.share(point.x)
    left = share > 22 if within else share > 80
    name += ", chosen" if point.trial.chosen else ""
    text = tag(
        "text", name, x=-12 if left else 12, y=20 if within else -9, text_anchor="end" if left else "start"
    )
    return tag("svg", text, x=across.at(point.x), y=y, overflow="visible")


def _spread(trial: SearchTrial, x: str, up: Scale) -> Markup:
    low, high = trial.drift_ci_pt
    return line("interval", x, _y(up, high), _y(up, low)) if math.isfinite(high - low) else Markup()


def _title(point: _Point) -> str:
    return f"{point.trial.label}: {figure(point.trial.drift_pt)} pt at {figure(point.x)}"


def _said(points: Sequence[_Point], search: Search, unit: str) -> str:
    """Say the chart in words."""
    parts = [
        f"trial {one.number}{', chosen,' if one.trial.chosen else ''} {figure(one.trial.drift_pt)} points"
        f" at {figure(one.x)}"
        for one in points
    ]
    return f"Drift against {unit}; budget {figure(search.budget_pt)} points. {'; '.join(parts)}."
