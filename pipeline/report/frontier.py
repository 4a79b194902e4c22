"""The frontier of pruning: drift against GMAC of every ratio that was tried."""

from __future__ import annotations

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
    if not report.frontier:
        return None
    text = "What each ratio gave after cutting and fine-tuning, against the baseline, in PyTorch."
    return sheet(
        "Pruning",
        tag("p", text, class_="soft"),
        pareto_chart(_as_search(report), "% of the GMAC"),
        _table(report.frontier),
    )


def _as_search(report: RunReport) -> Search:
    """Give the points as the trials of a search, whose chart this is."""
    limits = report.settings.get("prune") or {}
    limit = limits.get("max_drift_pt")
    if limit is None:
        limit = report.settings.get("gate", {}).get("prune_drift_pt", 1.0)
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
                chosen=one.chosen,
            )
            for one in report.frontier
        ),
        cost_model="GMAC",
        cost_unit="share of float",
    )


def _table(points: tuple[Point, ...]) -> Markup:
    heads = head("ratio", "GMAC#", "of before, %#", "parameters, 10⁶#", "drift, pt#")
    return table("Ratios", heads, map(_row, points))


def _row(point: Point) -> Markup:
    spread = interval(point.drift_ci_pt)
    chosen = tag("span", "chosen", class_="chip ships") if point.chosen else None
    cells = (
        tag("th", figure(point.ratio), chosen, scope="row"),
        number(point.gmac, 3),
        number(100 * point.gmac / point.gmac_before, 1),
        number(point.parameters / 1e6, 2),
        number(point.drift_pt, 2, tag("small", spread) if spread else None),
    )
    return render(tag("tr", cells, class_="ships" if point.chosen else None))
