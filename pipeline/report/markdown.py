"""The run as Markdown, for a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.int8 import Search
from pipeline.ladder import Rung, RunReport, TargetResult
from pipeline.report.int8 import left_in_words
from pipeline.report.pareto import cost_digits, cost_of, cost_words
from pipeline.report.words import (
    HEADLINES,
    NONE,
    SYMBOLS,
    WORDS,
    duration,
    figure,
    interval,
    printable,
    shipped,
    ships_sentence,
    size,
)  # fmt: skip

_SPECIAL = re.compile(r"([\\`*_{}\[\]#!|~$])")
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "@": "&#64;"}  # @: a class name must not call anyone
_HEAD = ("form", "verdict", "mAP50-95", "drift, pt", "step drift, pt", "p50, ms", "p99, ms", "size")


def markdown(report: RunReport) -> str:
    """Write verdict, reasons and ladders; names of classes and files cannot become markup."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: RunReport) -> Iterator[str]:
    yield f"## {SYMBOLS[report.verdict]} Edgebound: {HEADLINES[report.verdict].lower()}"
    yield ""
    yield f"Run `{_code(report.run)}`, {duration(report.seconds)}, data `{_code(report.data)}`"
    if report.error:
        yield from ("", f"**{_plain(report.error.what)}**", "", f"Hint: {_plain(report.error.hint)}")
    if not report.targets:
        yield from ("", *(f"- {_plain(reason)}" for reason in report.reasons))
    for name, target in report.targets.items():
        yield ""
        yield from _target(name, target)


def _target(name: str, target: TargetResult) -> Iterator[str]:
    yield f"### {SYMBOLS[target.verdict]} {_plain(name)}: {WORDS[target.verdict]}"
    yield ""
    if ships := shipped(target):
        yield from (f"**{_plain(ships_sentence(ships))}**", "")
    yield from (f"- {_plain(reason)}" for reason in target.reasons[1 if ships else 0 :])
    if target.ladder:
        yield ""
        yield f"| {' | '.join(_HEAD)} |"
        yield f"|{'---|' * 2}{'---:|' * (len(_HEAD) - 2)}"
        yield from (_row(rung, ships=rung.id == target.ships) for rung in target.ladder)
    if target.search:
        yield from _search(target.search)


def _search(search: Search) -> Iterator[str]:
    """Say which forms were tried for the drift budget."""
    cost = cost_words(search)
    count = f"{len(search.trials)} trial{'s' if len(search.trials) > 1 else ''}"
    yield from ("", f"Drift budget {figure(search.budget_pt)} pt against onnx fp32, {count}:", "")
    yield f"| left in float | drift, pt | p50, ms | {_plain(cost)} |"
    yield "|---|---:|---:|---:|"
    for one in search.trials:
        name = left_in_words(one, search)
        cells = (
            f"**{name}**, chosen" if one.chosen else name,
            _with_interval(one.drift_pt, interval(one.drift_ci_pt)),
            figure(one.p50_ms),
            figure(cost_of(one, search), cost_digits(search)),
        )
        yield f"| {' | '.join(cells)} |"


def _row(rung: Rung, *, ships: bool) -> str:
    latency = rung.latency_ms
    cells = (
        f"**{_plain(rung.label)}**" if ships else _plain(rung.label),
        f"{SYMBOLS[rung.verdict]} {WORDS[rung.verdict]}{', ships' if ships else ''}",
        figure(rung.map50_95, 3),
        _with_interval(rung.drift_pt, interval(rung.drift_ci_pt)) if rung.parent else NONE,
        _with_interval(rung.step_drift_pt, interval(rung.step_drift_ci_pt)) if rung.parent else NONE,
        figure(latency.p50) if latency else NONE,
        figure(latency.p99) if latency else NONE,
        size(rung.size_bytes),
    )
    return f"| {' | '.join(cells)} |"


def _with_interval(value: float, spread: str) -> str:
    return f"{figure(value)} ({spread})" if spread else figure(value)


def _plain(text: str) -> str:
    """Escape text so that Markdown shows it as it is, on one line."""
    escaped = _SPECIAL.sub(r"\\\1", " ".join(printable(text).split()))
    return "".join(_ENTITIES.get(letter, letter) for letter in escaped)


def _code(text: str) -> str:
    return " ".join(printable(text).replace("`", "'").split())
