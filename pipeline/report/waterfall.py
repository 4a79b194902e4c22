"""Waterfall: where mAP was lost on the way, step by step, and what each engine lost in all."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.ladder import Check, Rung, TargetResult
from pipeline.report.drawing import Scale, axis, hatched, line, row, svg
from pipeline.report.markup import Markup, tag
from pipeline.report.words import figure

_HEIGHT = 34  # pixels of a row


@dataclass(frozen=True)
class _Loss:
    """A loss on the chart: a bar from where the one before ended, judged by a check.

    Attributes:
        start: Loss of the form it was made from against the baseline, in points; 0 for a loss in all.
        note: What it is a loss against.
    """

    rung: Rung
    check: Check
    start: float
    note: str

    @property
    def limit(self) -> float:
        return self.start + self.check.limit

    @property
    def ends(self) -> tuple[float, float]:
        return self.start + self.check.low, self.start + self.check.high

    @property
    def end(self) -> float:
        return self.start + self.check.value


def drift_chart(target: TargetResult) -> Markup | None:
    """Draw each step from what was lost before it, then each engine in all, with intervals and limits."""
    rungs = {rung.id: rung for rung in target.ladder}
    steps = [
        _Loss(rung, check, rungs[rung.parent].drift_pt, f"from {rungs[rung.parent].label}")
        for rung, check in _answers(target, "step drift")
        if rung.parent in rungs
    ]
    totals = [_Loss(rung, check, 0.0, "from the baseline") for rung, check in _answers(target, "drift")]
    if not steps:
        return None
    scale = _scale([*steps, *totals])
    return tag(
        "figure",
        _group("Each step, from where the one before it ended"),
        [_row(one, scale) for one in steps],
        _group("Each engine in all") if totals else None,
        [_row(one, scale) for one in totals],
        axis(scale, "points lost"),
    )


def _answers(target: TargetResult, measure: str) -> list[tuple[Rung, Check]]:
    return [(rung, check) for rung in target.ladder for check in rung.checks if check.measure == measure]


def _group(title: str) -> Markup:
    return tag("div", title, class_="group label")


def _scale(losses: Sequence[_Loss]) -> Scale:
    """Let the limits fill half the width; what lost far more gets an arrow, not a scale of its own."""
    limit = max((one.check.limit for one in losses if math.isfinite(one.check.limit)), default=1.0) or 1.0
    ends = [end for one in losses for end in (*one.ends, one.end) if math.isfinite(end)]
    low = max(min([0.0, *ends]), -limit)
    return Scale(low * 1.1 - 0.03 * limit, min(max([limit * 1.3, *ends]) * 1.05, limit * 2.5))


def _row(one: _Loss, scale: Scale) -> Markup:
    check = one.check
    known = math.isfinite(check.value)
    spread = f"{figure(check.low)} to {figure(check.high)}, " if math.isfinite(check.high - check.low) else ""
    return row(
        one.rung.label,
        one.note + (", off the scale already" if one.start > scale.high else ""),
        svg(_HEIGHT, _marks(one, scale), class_=f"tone-{check.verdict}"),
        f"{figure(check.value)} pt" if known else "not measured",
        f"{spread}limit {figure(check.limit)}",
    )


def _marks(one: _Loss, scale: Scale) -> Iterator[Markup]:
    middle = _HEIGHT / 2
    yield from (line("grid", scale.at(tick), 0, _HEIGHT) for tick in scale.ticks())
    yield line("zero", scale.at(0), 0, _HEIGHT)
    if math.isfinite(one.limit):
        yield from hatched(one.limit, scale, _HEIGHT)
    if not math.isfinite(one.end):
        return
    yield _bar(one, scale)
    low, high = one.ends
    if math.isfinite(high - low):
        yield tag("line", class_="interval", y1=middle, y2=middle, x1=scale.at(low), x2=scale.at(high))
    if scale.low <= one.end <= scale.high:
        title = tag("title", one.check.reason)
        yield tag("circle", title, class_="estimate", cx=scale.at(one.end), cy=middle, r=6)
    else:
        yield _arrow(one.check, at_end=one.end > scale.high)


def _bar(one: _Loss, scale: Scale) -> Markup:
    left, right = sorted((scale.share(one.start), scale.share(one.end)))
    place = {"x": f"{left:.2f}%", "width": f"{right - left:.2f}%"}
    return tag("rect", class_="fall", y=_HEIGHT / 2 - 9, height=18, **place)


def _arrow(check: Check, *, at_end: bool) -> Markup:
    points = "-14,9 0,17 -14,25" if at_end else "14,9 0,17 14,25"
    shape = tag("polygon", tag("title", check.reason), class_="arrow", points=points)
    return tag("svg", shape, x="100%" if at_end else "0", overflow="visible")
