"""Latency: how the timed runs of each candidate are distributed, inference alone and end to end."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from pipeline.ladder import LatencyFigures, Rung, TargetResult
from pipeline.report.drawing import SERIES, Scale, axis, hatched, line, row, svg
from pipeline.report.markup import Markup, render, tag
from pipeline.report.tables import head, number, table
from pipeline.report.words import figure, interval

_BINS = 120
_HEIGHT = 46  # pixels of a row


def latency_chart(target: TargetResult) -> Markup | None:
    """Draw all distributions on one axis from 0, and give the figures below."""
    timed = list(_timed(target))
    if not timed:
        return None
    budgets = [check.limit for rung, _, _ in timed for check in rung.checks if check.measure == "p99"]
    slowest = max(latency.p99 for _, _, latency in timed)
    scale = Scale(0.0, max([slowest * 1.12, *(budget * 1.1 for budget in budgets)]))
    places = {rung.id: place for place, rung in enumerate(dict.fromkeys(rung for rung, _, _ in timed))}
    rows = [
        _row(rung, what, latency, scale=scale, budgets=budgets, place=places[rung.id])
        for rung, what, latency in timed
    ]
    figures = tag("figure", rows, axis(scale, "milliseconds"))
    return render((figures, _figures(timed)))


def _timed(target: TargetResult) -> Iterator[tuple[Rung, str, LatencyFigures]]:
    """Give what was timed, and what of it: an engine's inference, then the same end to end."""
    for rung in target.ladder:
        own = rung.latency_ms
        for what, latency in (("inference", own), ("end to end", own.end_to_end if own else None)):
            if latency is not None and math.isfinite(latency.p99):
                yield rung, what, latency


def _row(
    rung: Rung, what: str, latency: LatencyFigures, *, scale: Scale, budgets: Sequence[float], place: int
) -> Markup:
    beyond = sum(sample > scale.high for sample in latency.samples)
    content = (
        [line("grid", scale.at(tick), 0, _HEIGHT) for tick in scale.ticks()],
        [hatched(budget, scale, _HEIGHT) for budget in budgets[:1]],
        _histogram(latency.samples, scale),
        [
            line("percentile", scale.at(value), 4, _HEIGHT)
            for value in (latency.p50, latency.p90, latency.p99)
        ],
    )
    return row(
        rung.label,
        f"{what}, {latency.n} runs" + (f", {beyond} slower than drawn" if beyond else ""),
        svg(_HEIGHT, content, class_=f"s{place % SERIES + 1}"),
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
        yield tag("rect", class_="bar", y=_HEIGHT - height, height=height, **place)


def _figures(timed: Sequence[tuple[Rung, str, LatencyFigures]]) -> Markup | None:
    """Give percentiles with their intervals, how steady they are, and what an engine needs beside time."""
    if not any(math.isfinite(latency.cov) for _, _, latency in timed):
        return None  # an old report, which says no more than is drawn
    heads = head(
        "engine", "timed", "p50, ms#", "p90, ms#", "p99, ms#", "CoV, %#", "pictures/s#", "start-up, ms#",
        "memory, MiB#",
    )  # fmt: skip
    return table("Latency", heads, [_cells(*one) for one in timed])


def _cells(rung: Rung, what: str, latency: LatencyFigures) -> Markup:
    alone = what == "inference"
    noise = tag("small", latency.noise, class_="unsure") if latency.noise else None
    percentiles = (
        (latency.p50, latency.p50_ci), (latency.p90, latency.p90_ci), (latency.p99, latency.p99_ci)
    )  # fmt: skip
    return tag(
        "tr",
        tag("th", rung.label, scope="row"),
        tag("td", what, noise),
        [number(value, 2, _spread(value, ends)) for value, ends in percentiles],
        number(latency.cov * 100, 1),
        number(latency.img_s, 0),
        number(rung.startup_ms if alone else math.nan, 0),
        number(rung.memory_mib if alone else math.nan, 0),
    )


def _spread(value: float, ends: tuple[float, float]) -> Markup | None:
    """Say an interval; one without an upper end says that too few runs were timed."""
    if interval(ends):
        return tag("small", interval(ends))
    return tag("small", f"from {figure(ends[0])}") if math.isfinite(ends[0]) and value else None
