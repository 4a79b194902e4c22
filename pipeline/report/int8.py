"""How the INT8 form came about: what the search tried, what was quantized, and what not."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.int8 import Search, SearchTrial
from pipeline.ladder import TargetResult
from pipeline.report.markup import Markup, render, tag
from pipeline.report.pareto import cost_digits, cost_of, cost_words, is_timed, pareto_chart
from pipeline.report.parts import block, details
from pipeline.report.tables import head, number, table
from pipeline.report.words import figure, interval
from stages.quantize import LeftInFloat

_NAMED = 3  # blocks in a cell


def search_block(target: TargetResult) -> Markup | None:
    """Show drift against latency of all forms that were tried."""
    search = target.search
    if search is None:
        return None
    return block(
        "Accuracy against latency", _note(search), render((pareto_chart(search), _trials_table(search)))
    )


def _note(search: Search) -> str:
    budget = f"INT8 may lose {figure(search.budget_pt)} pt of mAP50-95 against onnx fp32."
    if not search.blocks:
        return f"{budget} It loses no more, in float simulation, so that nothing had to be left in float."
    spread = f"with more or fewer of {search.blocks} blocks in float"
    timed = (
        "The best were built and timed side by side; the fastest within the budget was chosen."
        if is_timed(search)
        else "No engine was timed: the cheapest within the budget, by the cost model, was chosen."
    )
    tried = f"{len(search.trials)} forms, {spread}, were evaluated in float simulation."
    return f"{budget} {tried} {timed}{_doubt(search)} Cost model: {search.cost_model}."


def _doubt(search: Search) -> str:
    """Say so where the pictures cannot tell whether the chosen form is within the budget."""
    high = next((one.drift_ci_pt[1] for one in search.trials if one.chosen), 0.0)
    if not high > search.budget_pt:
        return ""
    return (
        f" The pictures are too few to be sure of it: the interval of its drift reaches to {figure(high)} pt."
    )


def _trials_table(search: Search) -> Markup:
    timed = is_timed(search)
    heads = head(
        "trial", "in float", "drift, pt#", *(["p50, ms#"] if timed else []), f"{cost_words(search)}#"
    )
    rows = [_trial(place, one, search, timed=timed) for place, one in enumerate(search.trials, 1)]
    return table("Trials", heads, rows)


def _trial(place: int, trial: SearchTrial, search: Search, *, timed: bool) -> Markup:
    spread = interval(trial.drift_ci_pt)
    within = trial.drift_pt <= search.budget_pt
    notes = [tag("small", spread) if spread else None]
    notes.append(None if within else tag("small", "beyond the budget", class_="bad"))
    cells = (
        tag("th", place, tag("span", "chosen", class_="chip ships") if trial.chosen else None, scope="row"),
        tag("td", left_in_words(trial, search), tag("small", names_of(trial.left_in_float))),
        number(trial.drift_pt, 2, notes),
        number(trial.p50_ms) if timed else None,
        number(cost_of(trial, search), cost_digits(search)),
    )
    return tag("tr", cells, class_="trial ships" if trial.chosen else "trial")


def left_in_words(trial: SearchTrial, search: Search) -> str:
    """Say how much of a trial's form is not INT8."""
    count = len(trial.left_in_float)
    return f"{count} of {search.blocks} blocks" if count else "nothing"


def names_of(names: Sequence[str]) -> str:
    """Name the first few."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def placement_details(target: TargetResult) -> Markup | None:
    """Show on demand what was quantized, and what not and why."""
    placement = target.placement
    if placement is None:
        return None
    left = _left_out_table(placement.left_out) if placement.left_out else None
    return details("Placement of INT8", render((tag("p", f"{placement.summary}."), left)))


def _left_out_table(left_out: Sequence[LeftInFloat]) -> Markup:
    rows = [tag("tr", tag("th", one.node, scope="row"), tag("td", one.reason)) for one in left_out]
    return table("In float", head("operator in float", "why", sortable=True), rows)
