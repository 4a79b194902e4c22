"""The frontier of pruning: drift against latency, or GMAC, of every ratio that was tried."""

from __future__ import annotations

import math

from pipeline.frontier import Point
from pipeline.int8 import Search, SearchTrial
from pipeline.ladder import RunReport
from pipeline.report.markup import Markup, render, tag
from pipeline.report.pareto import pareto_chart
from pipeline.report.parts import sheet
from pipeline.report.tables import head, number, table
from pipeline.report.words import figure, interval


def frontier_sheet(report: RunReport) -> Markup | None:
    """Show what each ratio gave, and which one the run went on with."""
    points = report.frontier
    if not points:
        return None
    return sheet(
        "Pruning",
        tag("p", _text(points), class_="soft"),
        pareto_chart(_as_search(report), _unit(points)),
        _table(points),
    )


def _text(points: tuple[Point, ...]) -> str:
    tuned = any(math.isfinite(one.drift_pt) for one in points)
    said = (
        "What each ratio gave after cutting and fine-tuning, against the baseline, in PyTorch."
        if tuned
        else "How fast each ratio is; only the chosen one was tuned, and its drift is in the ladder."
    )
    sources = sorted({one.latency_source for one in points if one.latency_source})
    return f"{said} Latency: {'; '.join(sources)}." if sources else said


def _unit(points: tuple[Point, ...]) -> str:
    if not _timed(points):
        return "% of the GMAC"
    predicted = any("predicted" in one.latency_source for one in points)
    return f"milliseconds, {'predicted' if predicted else 'p50'}"


def _timed(points: tuple[Point, ...]) -> bool:
    return all(math.isfinite(one.latency_ms) for one in points)


def _as_search(report: RunReport) -> Search:
    """Give the points as the trials of a search, whose chart this is."""
    limits = report.settings.get("prune") or {}
    limit = limits.get("max_drift_pt")
    if limit is None:
        limit = report.settings.get("gate", {}).get("prune_drift_pt", 1.0)
    timed = _timed(report.frontier)
    return Search(
        budget_pt=float(limit),
        blocks=0,
        trials=tuple(
            SearchTrial(
                label=f"ratio {one.ratio:g}",
                left_in_float=(),
                drift_pt=one.drift_pt,
                drift_ci_pt=one.drift_ci_pt,
                cost=one.gmac / one.gmac_before,
                p50_ms=one.latency_ms if timed else math.nan,
                chosen=one.chosen,
            )
            for one in report.frontier
        ),
        cost_model="GMAC",
        cost_unit="share of float",
    )


def _table(points: tuple[Point, ...]) -> Markup:
    heads = head("ratio", "GMAC#", "of before, %#", "parameters, 10⁶#", "latency, ms#", "drift, pt#")
    return table("Ratios", heads, map(_row, points))


def _row(point: Point) -> Markup:
    spread = interval(point.drift_ci_pt)
    chosen = tag("span", "chosen", class_="chip ships") if point.chosen else None
    cells = (
        tag("th", figure(point.ratio), chosen, scope="row"),
        number(point.gmac, 3),
        number(100 * point.gmac / point.gmac_before, 1),
        number(point.parameters / 1e6 if point.parameters else math.nan, 2),
        number(point.latency_ms, 2),
        number(point.drift_pt, 2, tag("small", spread) if spread else None),
    )
    return render(tag("tr", cells, class_="ships" if point.chosen else None))
