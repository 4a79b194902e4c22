"""The report as one page: verdict and reasons first, evidence below, no network, no foreign file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from pipeline.ladder import LatencyFigures, Rung, RunReport, TargetResult
from pipeline.report.board import board_block
from pipeline.report.charts import drift_chart, latency_chart, training_chart
from pipeline.report.drawing import HATCH
from pipeline.report.frontier import frontier_sheet
from pipeline.report.int8 import placement_details, search_block
from pipeline.report.markup import Markup, Node, render, tag
from pipeline.report.parts import block, details, listed
from pipeline.report.tables import checks_table, chip, class_table, counts_table, ladder_table, steps_table
from pipeline.report.words import (
    HEADLINES,
    NONE,
    SYMBOLS,
    duration,
    figure,
    interval,
    moment,
    printable,
    shipped,
    ships_sentence,
    size,
)  # fmt: skip

_FIRST = 6  # reasons in the banner: what one reads in a minute
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
_MARK = Markup(  # a curve that stays within its bound
    '<svg width="26" height="20" viewBox="0 0 26 20" aria-hidden="true"><path d="M1 18 C9 18 10 5 19 5" '
    'fill="none" stroke="currentColor" stroke-width="2.5"/><line x1="23" y1="1" x2="23" y2="19" '
    'stroke="var(--refuse)" stroke-width="2.5"/></svg>'
)


def page(report: RunReport) -> str:
    """Write the page."""
    body = tag(
        "body",
        HATCH,
        _masthead(report),
        tag(
            "main",
            _verdict(report),
            [_target(name, target, report) for name, target in report.targets.items()],
            _training(report),
            frontier_sheet(report),
            _data(report),
            _provenance(report),
        ),
        _footer(),
        tag("script", Markup(_file("page.js"))),
    )
    return f"<!doctype html>\n{tag('html', _head(report), body, lang='en')}\n"


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _head(report: RunReport) -> Markup:
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("title", f"{SYMBOLS[report.verdict]} {HEADLINES[report.verdict]} · Edgebound {report.run}"),
        tag("style", Markup(_file("page.css"))),
    )


def _masthead(report: RunReport) -> Markup:
    facts = (report.run, moment(report.started_at), duration(report.seconds))
    wordmark = tag("span", _MARK, "Edgebound", class_="wordmark")
    return tag("div", wordmark, [tag("span", fact) for fact in facts if fact], class_="masthead")


def _verdict(report: RunReport) -> Markup:
    """Say what a release owner must know: may it go out, what goes out, and why not."""
    ships = [(name, rung) for name, target in report.targets.items() if (rung := shipped(target))]
    leads = [
        tag("p", tag("strong", f"{name}: "), ships_sentence(rung), class_="lead") for name, rung in ships
    ]
    if report.error:
        leads = [tag("p", report.error.what, class_="lead"), tag("p", f"What to do: {report.error.hint}")]
    reasons = report.reasons if report.verdict != "pass" and not report.error else ()
    more = len(reasons) - _FIRST
    symbol = tag("span", SYMBOLS[report.verdict], aria_hidden="true")
    return tag(
        "section",
        tag("p", "Verdict", class_="label"),
        tag("h1", symbol, HEADLINES[report.verdict]),
        leads,
        listed(reasons[:_FIRST]),
        tag("p", f"and {more} more below", class_="more") if more > 0 else None,
        class_=f"verdict tone-{report.verdict}",
    )


# ------------------------------------------------------------------------------------ one target


def _target(name: str, target: TargetResult, report: RunReport) -> Markup:
    header = tag("header", tag("h2", name), chip(target.verdict), tag("p", _device(target.profile)))
    return tag(
        "section",
        header,
        _key_figures(target),
        _why(target, all_said=len(report.targets) == 1 and len(target.reasons) <= _FIRST),
        block(
            "What was lost on the way",
            "Loss of mAP50-95 in points, with its 95 % interval. A form passes if the whole interval stays "
            "left of its limit; hatched is beyond.",
            drift_chart(target),
        ),
        block(
            "Ladder", "Every form of the model, each made from one above it.", _if_any(target, ladder_table)
        ),
        search_block(target),
        block(
            "Latency",
            f"{_where(target)} One picture at a time, candidates in turn. Lines mark p50, p90 and p99.",
            latency_chart(target),
        ),
        board_block(target),
        block(
            "AP by class",
            "A class that gets lost hides in the mean. Click a heading to sort.",
            class_table(target),
        ),
        placement_details(target),
        details("Everything the gate asked", checks_table(target)),
        class_="sheet",
    )


def _why(target: TargetResult, *, all_said: bool) -> Markup | None:
    if target.verdict == "pass":  # the first reason says what ships, which is said above
        return block("Why not the others", "", listed([*target.reasons[1:], *target.notes]))
    return block("Why", "", listed([*(() if all_said else target.reasons), *target.notes]))


def _if_any(target: TargetResult, table: Any) -> Markup | None:
    return table(target) if target.ladder else None


def _device(profile: Mapping[str, Any]) -> str:
    runtime = f"{profile.get('runtime', '')} {profile.get('runtime_version', '')}".strip()
    return ", ".join(part for part in (str(profile.get("device", "")), runtime) if part)


def _where(target: TargetResult) -> str:
    timed = next((rung for rung in target.ladder if rung.latency_ms), None)
    if timed is None:
        return ""
    return f"On host {timed.host or 'unknown'}, {moment(timed.measured_at or '') or 'at an unknown time'}."


def _key_figures(target: TargetResult) -> Markup | None:
    ships = shipped(target)
    if ships is None:
        return None
    rivals = [rung for rung in target.ladder if rung.candidate and rung.id != ships.id and rung.latency_ms]
    spread = interval(ships.drift_ci_pt)
    entries = (
        ("ships", ships.label, ""),
        ("drift", f"{figure(ships.drift_pt)} pt", f"95 %: {spread}" if spread else ""),
        ("mAP50-95", figure(ships.map50_95, 3), f"baseline {figure(target.ladder[0].map50_95, 3)}"),
        ("latency p50", _ms(ships.latency_ms), _speedup(ships, rivals)),
        ("size", size(ships.size_bytes), f"baseline {size(target.ladder[0].size_bytes)}"),
    )
    figures = tag("dl", [_key_figure(*entry) for entry in entries], class_="key")
    return render((figures, tag("p", "Engine: ", tag("code", target.engine), class_="engine")))


def _key_figure(name: str, value: str, note: str) -> Markup:
    return tag("div", tag("dt", name), tag("dd", value, tag("small", note) if note else None))


def _ms(latency: LatencyFigures | None) -> str:
    return f"{figure(latency.p50)} ms" if latency else NONE


def _speedup(ships: Rung, rivals: Sequence[Rung]) -> str:
    times = [(rung.latency_ms.p50, rung.label) for rung in rivals if rung.latency_ms]
    times = [(p50, label) for p50, label in times if math.isfinite(p50)]
    if not times or not ships.latency_ms:
        return ""
    p50, label = min(times)
    return f"{figure(p50 / ships.latency_ms.p50)}× as fast as {label}"


# ------------------------------------------------------------------------------------ the run


def _sheet(title: str, *content: Node) -> Markup:
    return tag("section", tag("header", tag("h2", title)), content, class_="sheet")


def _training(report: RunReport) -> Markup | None:
    if not report.epochs:
        return None
    note = f"{len(report.epochs)} epochs"
    if validated := [epoch for epoch in report.epochs if math.isfinite(epoch.map50_95)]:
        best = max(validated, key=lambda epoch: epoch.map50_95)
        note += f"; best mAP50-95 {figure(best.map50_95, 3)} in epoch {best.epoch}"
    return _sheet("Training", tag("p", note, class_="soft"), training_chart(report.epochs))


def _data(report: RunReport) -> Markup | None:
    summary = report.data_summary
    if summary is None:
        return None
    facts = (
        ("pictures to train", str(summary.train), ""),
        ("to validate", str(summary.val), ""),
        ("to calibrate", str(summary.calibration), "from the training pictures"),
        ("classes", str(len(summary.classes)), ""),
    )
    warnings = block("Warnings", "", listed(summary.warnings))
    counts = details("Boxes by class", counts_table(report))
    return _sheet("Data", tag("dl", [_key_figure(*fact) for fact in facts], class_="key"), warnings, counts)


def _provenance(report: RunReport) -> Markup:
    seconds = sum(step.seconds for step in report.steps if not step.cached and math.isfinite(step.seconds))
    cached = sum(step.cached for step in report.steps)
    warnings = report.data_summary.warnings if report.data_summary else ()
    facts = {
        "run": report.run,
        "folder": report.run_dir,
        "data": report.data,
        "wall time": duration(report.seconds),
    }
    if report.steps:
        work = f"{len(report.steps)}, {cached} of them cached; the others worked {duration(seconds)}"
        facts["steps"] = work
    return _sheet(
        "Provenance",
        _facts(facts),
        block("Notes", "", listed([note for note in report.notes if note not in warnings])),
        tag(
            "div",
            details("Where the time went", steps_table(report)),
            details("Machine", _facts(report.host) if report.host else None),
            details("Versions", _facts(report.versions) if report.versions else None),
            details("Settings", tag("pre", _yaml(report.settings)) if report.settings else None),
            class_="block",
        ),
    )


def _facts(facts: Mapping[str, str]) -> Markup:
    return tag("dl", [(tag("dt", name), tag("dd", value)) for name, value in facts.items()], class_="facts")


def _yaml(settings: Mapping[str, Any]) -> str:
    import yaml

    plain = json.loads(json.dumps(settings))
    return printable(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))


def _footer() -> Markup:
    text = (
        "Drift is loss: positive is worse, 1 pt is 0.01 of mAP50-95. Intervals come from a paired bootstrap "
        "over the validation pictures. Pass: the upper bound is within the limit. Refused: the lower bound "
        "is beyond it. Inconclusive: neither, or evidence is missing, stale or simulated."
    )
    return tag("footer", tag("p", text))
