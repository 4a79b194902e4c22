"""Charts of a run: drift, latency, training."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pipeline.ladder import Check, Epoch, Rung, TargetResult
from pipeline.report.drawing import Scale, axis, hatched, line, row, svg
from pipeline.report.markup import Markup, tag
from pipeline.report.words import figure

_BINS = 120
_SERIES = 4  # colours
_DASHES = ("", "7 4", "2 3", "10 3 2 3")  # a line is told from its neighbour without colour too


# ------------------------------------------------------------------------------------ drift


def drift_chart(target: TargetResult) -> Markup | None:
    """Draw the loss of each step, and of each candidate as a whole, with its interval against its limit."""
    parents = {rung.id: rung.label for rung in target.ladder}
    steps, totals = _answers(target, "step drift"), _answers(target, "drift")
    if not steps:
        return None
    scale = _drift_scale([check for _, check in (*steps, *totals)])
    rows = [
        _group("Each step"),
        [_drift_row(rung, check, f"from {parents.get(rung.parent or '')}", scale) for rung, check in steps],
        _group("Each engine in all") if totals else None,
        [_drift_row(rung, check, "from the baseline", scale) for rung, check in totals],
    ]
    return tag("figure", rows, axis(scale, "points"))


def _answers(target: TargetResult, measure: str) -> list[tuple[Rung, Check]]:
    return [(rung, check) for rung in target.ladder for check in rung.checks if check.measure == measure]


def _group(title: str) -> Markup:
    return tag("div", title, class_="group label")


def _drift_scale(checks: Sequence[Check]) -> Scale:
    """Let the limits fill half the width; what lost far more gets an arrow, not a scale of its own."""
    limit = max((check.limit for check in checks if math.isfinite(check.limit)), default=1.0)
    ends = [end for check in checks for end in (check.low, check.high, check.value) if math.isfinite(end)]
    low = max(min([0.0, *ends]), -limit)
    return Scale(low * 1.1 - 0.03 * limit, min(max([limit * 1.3, *ends]) * 1.05, limit * 2.5))


def _drift_row(rung: Rung, check: Check, note: str, scale: Scale) -> Markup:
    known = math.isfinite(check.value)
    spread = f"{figure(check.low)} to {figure(check.high)}, " if math.isfinite(check.high - check.low) else ""
    return row(
        rung.label,
        note,
        svg(34, _drift_marks(check, scale), class_=f"tone-{check.verdict}"),
        f"{figure(check.value)} pt" if known else "not measured",
        f"{spread}limit {figure(check.limit)}",
    )


def _drift_marks(check: Check, scale: Scale) -> Iterator[Markup]:
    yield from (line("grid", scale.at(tick), 0, 34) for tick in scale.ticks())
    yield line("zero", scale.at(0), 0, 34)
    if math.isfinite(check.limit):
        yield from hatched(check.limit, scale, 34)
    if not math.isfinite(check.value):
        return
    if math.isfinite(check.high - check.low):
        ends = {"x1": scale.at(check.low), "x2": scale.at(check.high)}
        yield tag("line", class_="interval", y1=17, y2=17, **ends)
    if scale.low <= check.value <= scale.high:
        yield tag(
            "circle", tag("title", check.reason), class_="estimate", cx=scale.at(check.value), cy=17, r=6
        )
    else:
        yield _arrow(check, at_end=check.value > scale.high)


def _arrow(check: Check, *, at_end: bool) -> Markup:
    points = "-14,9 0,17 -14,25" if at_end else "14,9 0,17 14,25"
    shape = tag("polygon", tag("title", check.reason), class_="arrow", points=points)
    return tag("svg", shape, x="100%" if at_end else "0", overflow="visible")


# ------------------------------------------------------------------------------------ latency


def latency_chart(target: TargetResult) -> Markup | None:
    """Draw how the timed runs of each candidate are distributed, all on one axis from 0."""
    timed = [rung for rung in target.ladder if rung.latency_ms and math.isfinite(rung.latency_ms.p99)]
    if not timed:
        return None
    budgets = [check.limit for rung in timed for check in rung.checks if check.measure == "p99"]
    slowest = max(rung.latency_ms.p99 for rung in timed if rung.latency_ms)
    scale = Scale(0.0, max([slowest * 1.12, *(budget * 1.1 for budget in budgets)]))
    rows = [_latency_row(rung, scale, budgets, place) for place, rung in enumerate(timed)]
    return tag("figure", rows, axis(scale, "milliseconds"))


def _latency_row(rung: Rung, scale: Scale, budgets: Sequence[float], place: int) -> Markup:
    latency = rung.latency_ms
    assert latency
    beyond = sum(sample > scale.high for sample in latency.samples)
    marks = [line("percentile", scale.at(value), 4, 46) for value in (latency.p50, latency.p90, latency.p99)]
    content = (
        [line("grid", scale.at(tick), 0, 46) for tick in scale.ticks()],
        [hatched(budget, scale, 46) for budget in budgets[:1]],
        _histogram(latency.samples, scale),
        marks,
    )
    return row(
        rung.label,
        f"{latency.n} runs" + (f", {beyond} slower than drawn" if beyond else ""),
        svg(46, content, class_=f"s{place % _SERIES + 1}"),
        f"p50 {figure(latency.p50)} ms",
        f"p90 {figure(latency.p90)}, p99 {figure(latency.p99)}",
    )


def _histogram(samples: Iterable[float], scale: Scale) -> Iterator[Markup]:
    width = 100 / _BINS
    inside = (sample for sample in samples if scale.low <= sample <= scale.high)
    counts = Counter(min(int(scale.share(sample) / width), _BINS - 1) for sample in inside)
    tallest = max(counts.values(), default=1)
    for index, count in sorted(counts.items()):
        height = max(1.5, 40 * count / tallest)
        place = {"x": f"{index * width:.2f}%", "width": f"{width * 0.9:.2f}%"}
        yield tag("rect", class_="bar", y=46 - height, height=height, **place)


# ------------------------------------------------------------------------------------ training


def training_chart(epochs: Sequence[Epoch]) -> Markup | None:
    """Draw mAP and losses over the epochs, side by side."""
    if len(epochs) < 2:
        return None
    accuracy = {
        "mAP50": [epoch.map50 for epoch in epochs],
        "mAP50-95": [epoch.map50_95 for epoch in epochs],
    }
    names = list(dict.fromkeys(name for epoch in epochs for name in epoch.losses))
    losses = {name: [epoch.losses.get(name, math.nan) for epoch in epochs] for name in names}
    span = (epochs[0].epoch, epochs[-1].epoch)
    panels = [_panel("Accuracy on the validation pictures", accuracy, span, digits=3)]
    if losses:
        panels.append(_panel("Losses", losses, span, digits=2))
    return tag("div", panels, class_="panels")


def _panel(
    title: str, curves: Mapping[str, Sequence[float]], span: tuple[int, int], *, digits: int
) -> Markup:
    finite = [value for curve in curves.values() for value in curve if math.isfinite(value)]
    top = max(finite, default=1.0) or 1.0
    scale = Scale(0.0, top * 1.08)
    heights = [150 - scale.share(tick) * 1.5 for tick in scale.ticks(4)]
    grid = [tag("line", class_="grid", x1="0", x2="100%", y1=y, y2=y) for y in heights]
    texts = [
        tag("text", f"{tick:g}", x="0", y=y - 3)
        for tick, y in zip(scale.ticks(4), heights, strict=True)
        if y < 145
    ]
    paths = [_curve(curve, scale, place) for place, curve in enumerate(curves.values())]
    inner = tag("svg", paths, viewBox="0 0 100 100", preserveAspectRatio="none", width="100%", height=150)
    ends = (
        tag("text", f"epoch {span[0]}", x="0", y=166),
        tag("text", str(span[1]), x="100%", y=166, text_anchor="end"),
    )
    legend = [_key(name, curve, place, digits) for place, (name, curve) in enumerate(curves.items())]
    return tag(
        "div", tag("span", title, class_="label"), svg(170, grid, inner, texts, ends),
        tag("ul", legend, class_="legend"), class_="panel",
    )  # fmt: skip


def _curve(values: Sequence[float], scale: Scale, place: int) -> Markup:
    last = len(values) - 1
    points = [
        f"{index / last * 100:.2f} {100 - scale.share(value):.2f}"
        for index, value in enumerate(values)
        if math.isfinite(value)
    ]
    dashes = _DASHES[place % len(_DASHES)] or None
    path = f"M{' L'.join(points)}" if points else None
    return tag("path", class_=f"curve s{place % _SERIES + 1}", d=path, stroke_dasharray=dashes)


def _key(name: str, values: Sequence[float], place: int, digits: int) -> Markup:
    dashes = _DASHES[place % len(_DASHES)] or None
    swatch = tag("path", class_=f"curve s{place % _SERIES + 1}", d="M0 4 H26", stroke_dasharray=dashes)
    return tag("li", svg(8, swatch), f"{name} {figure(values[-1], digits)} at the end")
