"""The run as Markdown, for a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pipeline.int8 import Search
from pipeline.ladder import Rung, RunReport, TargetResult
from pipeline.report.int8 import left_in_words
from pipeline.report.pareto import cost_digits, cost_of, cost_words
from pipeline.report.words import (
    HEADLINES,
    NONE,
    NOT_JUDGED,
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
from pipeline.training import training_line

_SPECIAL = re.compile(r"([\\`*_{}\[\]#!|~$])")
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "@": "&#64;"}  # @: a class name must not call anyone
_HEAD = ("form", "verdict", "mAP50-95", "drift, pt", "step drift, pt", "p50, ms", "p99, ms", "size")


_MOST = 10  # reasons of a target, and trials: the page has them all
_ROOM = 60_000  # characters; GitHub takes 65,536 in a comment


def markdown(report: RunReport) -> str:
    """Write verdict, reasons, ladders and what changed; names of classes and files cannot become markup.

    What is too long for a comment is cut after a whole line; the verdict stands in the first.
    """
    kept, room = [], _ROOM
    for line in _lines(report):
        room -= len(line) + 1
        if room < 0:
            kept += ["", "…and more, in report.html."]
            break
        kept.append(line)
    return "\n".join(kept) + "\n"


def _lines(report: RunReport) -> Iterator[str]:
    yield f"## {SYMBOLS[report.verdict]} Edgebound: {HEADLINES[report.verdict].lower()}"
    yield ""
    yield f"Run `{_code(report.run)}`, {duration(report.seconds)}, data `{_code(report.data)}`"
    if report.error:
        yield from ("", f"**{_plain(report.error.what)}**", "", f"Hint: {_plain(report.error.hint)}")
    if report.training:
        yield from ("", f"Training: {_plain(training_line(report.training))}")
    if not report.targets:
        yield from ("", *_bullets(report.reasons))
    for name, target in report.targets.items():
        yield ""
        yield from _target(name, target)


def _target(name: str, target: TargetResult) -> Iterator[str]:
    yield f"### {SYMBOLS[target.verdict]} {_plain(name)}: {WORDS[target.verdict]}"
    yield ""
    if ships := shipped(target):
        yield from (f"**{_plain(ships_sentence(ships))}**", "")
    yield from _bullets(target.reasons[1 if ships else 0 :])
    if target.ladder:
        yield ""
        yield f"| {' | '.join(_HEAD)} |"
        yield f"|{'---|' * 2}{'---:|' * (len(_HEAD) - 2)}"
        yield from (_row(rung, ships=rung.id == target.ships) for rung in target.ladder)
    if changed := [line for rung in target.ladder if rung.candidate for line in _changed(rung)]:
        yield from ("", "Against the baseline:", "", *changed)
    if target.search:
        yield from _search(target.search)


def _bullets(reasons: Sequence[str]) -> Iterator[str]:
    yield from (f"- {_plain(reason)}" for reason in reasons[:_MOST])
    if len(reasons) > _MOST:
        yield f"- …and {len(reasons) - _MOST} more, in report.html"


def _changed(rung: Rung) -> Iterator[str]:
    """Say what mAP does not show of an engine."""
    parts = []
    if deployed := rung.deployed:
        before, now = deployed.baseline, deployed.candidate
        parts.append(f"recall {figure(before.recall, 3)} → {figure(now.recall, 3)}")
        if before.precision is not None and now.precision is not None:
            parts.append(f"precision {figure(before.precision, 3)} → {figure(now.precision, 3)}")
        parts[-1] += f" at confidence {deployed.conf:g}"
    if changes := rung.changes:
        of = changes.lost + changes.kept
        parts.append(f"{changes.lost} of {of} detections lost, {changes.gained} gained")
    if losing := [each for each in rung.classes if each.ap50_loss_pt > 0]:  # never NaN
        worst = max(losing, key=lambda each: each.ap50_loss_pt)
        parts.append(f"worst class {_plain(worst.name)}, AP50 loss {figure(worst.ap50_loss_pt)} pt")
    if parts:
        yield f"- {_plain(rung.label)}: {'; '.join(parts)}"


def _search(search: Search) -> Iterator[str]:
    """Say which forms were tried for the drift budget."""
    cost = cost_words(search)
    count = f"{len(search.trials)} trial{'s' if len(search.trials) > 1 else ''}"
    yield from ("", f"Drift budget {figure(search.budget_pt)} pt against onnx fp32, {count}:", "")
    yield f"| left in float | drift, pt | p50, ms | {_plain(cost)} |"
    yield "|---|---:|---:|---:|"
    for one in [one for place, one in enumerate(search.trials) if place < _MOST or one.chosen]:
        name = left_in_words(one, search)
        cells = (
            f"**{name}**, chosen" if one.chosen else name,
            _with_interval(one.drift_pt, interval(one.drift_ci_pt)),
            figure(one.p50_ms),
            figure(cost_of(one, search), cost_digits(search)),
        )
        yield f"| {' | '.join(cells)} |"


def _verdict(rung: Rung, *, ships: bool) -> str:
    if not rung.is_judged:
        return NOT_JUDGED
    return f"{SYMBOLS[rung.verdict]} {WORDS[rung.verdict]}{', ships' if ships else ''}"


def _row(rung: Rung, *, ships: bool) -> str:
    latency = rung.latency_ms
    cells = (
        f"**{_plain(rung.label)}**" if ships else _plain(rung.label),
        _verdict(rung, ships=ships),
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
