"""The tables of the page: ladder, classes, checks, steps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from pipeline.ladder import Check, ClassFigures, Interval, Rung, RunReport, TargetResult, Verdict
from pipeline.report.markup import Markup, Node, render, tag
from pipeline.report.words import NONE, NOT_JUDGED, SYMBOLS, WORDS, duration, figure, interval, size

_TONES: Mapping[Verdict, str] = {"refuse": "bad", "inconclusive": "unsure"}


def chip(verdict: Verdict) -> Markup:
    """Show a verdict by symbol, word and colour."""
    return tag("span", f"{SYMBOLS[verdict]} {WORDS[verdict]}", class_=f"chip tone-{verdict}")


def number(value: float, digits: int = 2, *more: Node) -> Markup:
    """Give a cell with a figure, sorted by its value."""
    sort = repr(value) if math.isfinite(value) else ""
    return tag("td", figure(value, digits), more, class_="number", data_sort=sort)


def head(*names: str, sortable: bool = False) -> Markup:
    """Give the head; a name that ends in "#" is a column of figures, and mAP50-95 is not broken in two."""
    names = tuple(name.replace("-", "\u2011") for name in names)
    cells = [
        tag(
            "th",
            tag("button", name.rstrip("#"), type="button") if sortable else name.rstrip("#"),
            scope="col",
            class_="number" if name.endswith("#") else None,
        )
        for name in names
    ]
    return tag("thead", tag("tr", cells))


def verdict_word(verdict: Verdict | None) -> Markup | None:
    """Say in a cell that its figure does not pass; None where nothing was asked."""
    tone = _TONES.get(verdict) if verdict else None
    return tag("small", WORDS[verdict], class_=tone) if verdict and tone else None


def table(name: str, heads: Markup, rows: Iterable[Node]) -> Markup:
    """Give a table from its head and its rows; a wide one scrolls in its own box, with the keyboard too."""
    caption = tag("caption", name, class_="visually-hidden")
    content = tag("table", caption, heads, tag("tbody", rows))
    return tag("div", content, class_="scroll", tabindex=0, role="region", aria_label=name)


# ------------------------------------------------------------------------------------ ladder

_LADDER = (
    "form", "verdict", "precision", "runtime", "mAP50-95#", "mAP50#", "drift, pt#", "step drift, pt#",
    "p50, ms#", "p99#", "size#",
)  # fmt: skip


def ladder_table(target: TargetResult) -> Markup | None:
    """Show every form of the model, baseline first."""
    if not target.ladder:
        return None
    depths: dict[str | None, int] = {None: -1}
    for rung in target.ladder:
        depths[rung.id] = depths.get(rung.parent, -1) + 1
    counted = any(math.isfinite(rung.gmac) for rung in target.ladder)
    rows = [
        _rung(rung, depth=depths[rung.id], ships=rung.id == target.ships, counted=counted)
        for rung in target.ladder
    ]
    names = (*_LADDER, "GMAC#", "parameters, 10⁶#") if counted else _LADDER
    return table("Ladder", head(*names), rows)


def _rung(rung: Rung, *, depth: int, ships: bool, counted: bool) -> Markup:
    latency = rung.latency_ms
    times = (latency.p50, latency.p99) if latency else (math.nan,) * 2
    verdict = chip(rung.verdict) if rung.is_judged else tag("small", NOT_JUDGED, class_="soft")
    note = "engine" if rung.candidate else "baseline" if rung.parent is None else None
    cells: Sequence[Node] = (
        tag("th", rung.form, tag("small", note, class_="soft") if note else None, scope="row"),
        tag("td", verdict, tag("span", "ships", class_="chip ships") if ships else None),
        tag("td", rung.precision),
        tag("td", rung.runtime, tag("small", "simulated") if rung.simulated else None),
        number(rung.map50_95, 3),
        number(rung.map50, 3),
        *_drifts(rung),
        *map(number, times),
        tag("td", size(rung.size_bytes), class_="number", data_sort=rung.size_bytes),
        (number(rung.gmac, 3), number(rung.parameters / 1e6 or math.nan, 2)) if counted else None,
    )
    classes = "lineage ships" if ships else "lineage"
    return tag("tr", cells, class_=classes, style=f"--depth:{depth}")


def _drifts(rung: Rung) -> tuple[Markup, Markup]:
    if rung.parent is None:
        nothing = tag("td", NONE, class_="number", data_sort="")
        return nothing, nothing
    return (
        number(rung.drift_pt, 2, _small(rung.drift_ci_pt)),
        number(rung.step_drift_pt, 2, _small(rung.step_drift_ci_pt)),
    )


def _small(ends: Interval) -> Markup | None:
    return tag("small", interval(ends)) if interval(ends) else None


# ------------------------------------------------------------------------------------ classes


def class_table(target: TargetResult) -> Markup | None:
    """Show AP of each class: the baseline's, and each candidate's with its loss."""
    baseline = target.ladder[0] if target.ladder else None
    if baseline is None or not baseline.classes:
        return None
    candidates = [rung for rung in target.ladder if rung.candidate and rung.classes]
    names = [
        f"{what} {rung.label}#" for rung in candidates for what in ("AP50", "AP50-95", "loss of AP50, pt,")
    ]
    heads = head("class", "boxes#", "baseline AP50#", "AP50-95#", *names, sortable=True)
    by_name = [{each.name: each for each in rung.classes} for rung in candidates]
    judged = [{check.measure: check.verdict for check in rung.checks} for rung in candidates]
    rows = []
    for each in baseline.classes:
        found = [
            _class_cells(own.get(each.name), verdicts) for own, verdicts in zip(by_name, judged, strict=True)
        ]
        name = tag("th", each.name, scope="row", data_sort=each.name)
        rows.append(
            tag("tr", name, number(each.boxes, 0), number(each.ap50, 3), number(each.ap50_95, 3), found)
        )
    return table("AP by class", heads, rows)


def _class_cells(each: ClassFigures | None, verdicts: dict[str, Verdict]) -> Markup:
    if each is None:
        return render([number(math.nan)] * 3)
    word = verdict_word(verdicts.get(f"AP50 loss of {each.name}", "inconclusive"))
    loss = number(each.ap50_loss_pt, 2, _small(each.ci), word)
    return render((number(each.ap50, 3), number(each.ap50_95, 3), loss))


# ------------------------------------------------------------------------------------ checks and steps


def checks_table(target: TargetResult) -> Markup | None:
    """Show everything that the gate asked, and the answers."""
    rows = [_check(rung, check) for rung in target.ladder for check in rung.checks]
    heads = head("form", "asked", "found#", "limit#", "verdict", sortable=True)
    return table("All checks", heads, rows) if rows else None


def _check(rung: Rung, check: Check) -> Markup:
    spread = interval((check.low, check.high)) if check.low != check.high else ""
    unit = f" {check.unit}" if check.unit and math.isfinite(check.value) else ""
    digits = 3 if not check.unit else 2
    found = (figure(check.value, digits), unit, tag("small", spread) if spread else None)
    return tag(
        "tr",
        tag("th", rung.label, scope="row"),
        tag("td", check.measure, tag("small", check.reason) if check.verdict != "pass" else None),
        tag("td", found, class_="number", data_sort=repr(check.value) if math.isfinite(check.value) else ""),
        number(check.limit),
        tag("td", chip(check.verdict)),
    )


def digests_table(target: TargetResult) -> Markup | None:
    """Show by which digest each form is in the store, and what it found."""
    rows = [
        tag(
            "tr",
            tag("th", rung.label, scope="row"),
            tag("td", tag("code", rung.digest or NONE)),
            tag("td", tag("code", rung.detections or NONE)),
        )
        for rung in target.ladder
        if rung.digest or rung.detections
    ]
    return table("Digests", head("form", "its files", "its detections"), rows) if rows else None


def steps_table(report: RunReport) -> Markup | None:
    """Show where the time went."""
    rows = [
        tag(
            "tr",
            tag("th", step.stage, scope="row"),
            tag("td", step.label),
            tag("td", duration(step.seconds), class_="number", data_sort=repr(step.seconds)),
            tag("td", "cached" if step.cached else "ran"),
            tag("td", tag("code", step.key[:19], title=step.key)),
        )
        for step in report.steps
    ]
    heads = head("stage", "step", "work#", "this run", "key", sortable=True)
    return table("Steps", heads, rows) if rows else None


def counts_table(report: RunReport) -> Markup | None:
    """Show the boxes of each class."""
    if report.data_summary is None or not report.data_summary.classes:
        return None
    rows = [
        tag("tr", tag("th", each.name, scope="row"), number(each.train, 0), number(each.val, 0))
        for each in report.data_summary.classes
    ]
    heads = head("class", "boxes to train#", "boxes to validate#", sortable=True)
    return table("Boxes by class", heads, rows)
