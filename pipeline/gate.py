"""The gate: from a ladder to a verdict, with every reason. Pure: no files, no clock. It fails closed.

A form passes if the upper bound of its loss is within the limit, is refused if the lower bound is not, and is
inconclusive in between. Each candidate answers for all the forms it was made from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.answers import answer
from pipeline.checks import Terms, Wish, checks_of, was_timed
from pipeline.ladder import Rung, RunReport, TargetResult, Verdict
from pipeline.limits import Gate
from targets.errors import EdgeboundError

__all__ = ["EXIT_CODES", "Gate", "Judgement", "Terms", "Wish", "exit_code", "judge", "overall", "worst"]

SEVERITY: tuple[Verdict, ...] = ("error", "refuse", "unsupported", "inconclusive", "pass")
"""Worst first: the order in which design decision D7 picks the exit code of several targets."""
EXIT_CODES: Mapping[Verdict, int] = {"pass": 0, "error": 1, "refuse": 3, "inconclusive": 4, "unsupported": 5}
_SHARED_FORMS = ("train", "prune", "distill", "export")  # every candidate descends from these


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the gate says of one target.

    Attributes:
        reasons: Why it is no pass; or what ships, and why each other candidate does not.
        ladder: The same rungs, judged.
        ships: The candidate to release; None unless the verdict is pass.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    ladder: tuple[Rung, ...]
    ships: Rung | None


def judge(ladder: Sequence[Rung], terms: Terms) -> Judgement:
    """Judge a target's ladder: each form, each candidate, and which candidate ships.

    Args:
        ladder: Baseline first, each form after the one it was made from. Verdicts "unsupported" and "error",
            which come from whoever failed to build, are kept; all others are made anew.
        terms: What to hold it against.

    Raises:
        EdgeboundError: The ladder is not in order, or two forms have one id.
    """
    forms = _judge_forms(ladder, terms)
    rungs = tuple(_answer_for_ancestors(rung, forms) for rung in forms.values())
    held = _hold_to_speedup(rungs, terms)
    forms |= held
    rungs = tuple(held.get(rung.id, rung) for rung in rungs)
    contenders = [rung for rung in rungs if rung.candidate and terms.wish in ("auto", rung.precision)]
    ships = _choose([rung for rung in contenders if rung.verdict == "pass"], terms.limits.int8_min_speedup)
    if ships:
        rungs = tuple(_with_word_on(rung, ships, terms) for rung in rungs)
        return Judgement(verdict="pass", reasons=tuple(_say_why(ships, rungs)), ladder=rungs, ships=ships)
    if contenders:
        hope = any(rung.verdict == "inconclusive" for rung in contenders)
        verdict = "inconclusive" if hope else worst(rung.verdict for rung in contenders)
        behind = {form.id for rung in contenders for form in (*_ancestors(rung, forms), rung)}
        return _shipless(verdict, [form for form in forms.values() if form.id in behind], rungs)
    needed = [form for form in rungs if form.form in _SHARED_FORMS or form.precision == terms.wish]
    verdict = "refuse" if any(form.verdict == "refuse" for form in needed) else "inconclusive"
    asked = "" if terms.wish == "auto" else f"{terms.wish} "
    return _shipless(verdict, needed, rungs, f"no {asked}engine was built and measured")


def _shipless(verdict: Verdict, behind: Sequence[Rung], ladder: tuple[Rung, ...], *more: str) -> Judgement:
    by_severity = sorted(behind, key=lambda rung: SEVERITY.index(rung.verdict))
    reasons = (f"{rung.label}: {reason}" for rung in by_severity for reason in rung.reasons)
    return Judgement(verdict=verdict, reasons=(*reasons, *more), ladder=ladder, ships=None)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Give the worst; of nothing, "inconclusive"."""
    return min(verdicts, key=SEVERITY.index, default="inconclusive")


def overall(targets: Mapping[str, TargetResult]) -> tuple[Verdict, tuple[str, ...]]:
    """Give the verdict over all targets, and the reasons for it, those of the worst target first."""
    verdict = worst(target.verdict for target in targets.values())
    behind = [(name, one) for name, one in targets.items() if one.verdict != "pass" or verdict == "pass"]
    behind.sort(key=lambda item: SEVERITY.index(item[1].verdict))
    return verdict, tuple(f"{name}: {reason}" for name, one in behind for reason in one.reasons)


def exit_code(report: RunReport) -> int:
    """Give the exit code of the run (D7)."""
    return (report.error.code or 1) if report.error else EXIT_CODES[report.verdict]


def _judge_forms(ladder: Sequence[Rung], terms: Terms) -> dict[str, Rung]:
    judged: dict[str, Rung] = {}
    for rung in ladder:
        parent_is_known = rung.parent in judged if judged else rung.parent is None
        if rung.id in judged or not parent_is_known:
            raise EdgeboundError(
                f"The ladder is not in order at {rung.id!r}, made from {rung.parent!r}.",
                hint="Each form must have an id of its own and come after the form it was made from.",
            )
        judged[rung.id] = _judge_form(rung, ladder[0], terms)
    return judged


def _judge_form(rung: Rung, baseline: Rung, terms: Terms) -> Rung:
    if rung.verdict in ("unsupported", "error"):
        return rung
    if not rung.is_judged:
        return replace(rung, verdict="pass", reasons=("shown, not judged: it is not tuned yet",), checks=())
    checks = tuple(checks_of(rung, baseline, terms))
    failed = sorted(
        (check for check in checks if check.verdict != "pass"),
        key=lambda check: SEVERITY.index(check.verdict),
    )
    reasons = tuple(check.reason for check in failed)
    return replace(rung, verdict=worst(check.verdict for check in checks), reasons=reasons, checks=checks)


def _ancestors(rung: Rung, forms: Mapping[str, Rung]) -> Iterator[Rung]:
    """Give the forms that `rung` was made from, nearest first."""
    while rung.parent is not None:
        rung = forms[rung.parent]
        yield rung


def _answer_for_ancestors(rung: Rung, forms: Mapping[str, Rung]) -> Rung:
    """Let a candidate be no better than any form it was made from."""
    if not rung.candidate:
        return rung
    ancestors = [form for form in _ancestors(rung, forms) if form.verdict != "pass"]
    inherited = [f"made from {form.label}: {reason}" for form in ancestors for reason in form.reasons]
    verdict = worst((rung.verdict, *(form.verdict for form in ancestors)))
    return replace(rung, verdict=verdict, reasons=tuple(dict.fromkeys([*rung.reasons, *inherited])))


def _hold_to_speedup(rungs: Sequence[Rung], terms: Terms) -> dict[str, Rung]:
    """Give the INT8 engines that were asked for by name, and have to be worth their loss (D3).

    One whose accuracy is open is held to it as well: what is known to be too slow needs no more pictures.
    """
    rivals = [rung for rung in rungs if _passes(rung) and rung.precision != "int8"]
    if terms.wish != "int8" or not rivals:
        return {}
    rival = min(rivals, key=_p50_ms)
    return {
        rung.id: _held_to(rung, rival, terms.limits.int8_min_speedup)
        for rung in rungs
        if rung.candidate and rung.precision == "int8" and rung.verdict != "refuse" and was_timed(rung)
    }


def _held_to(int8: Rung, rival: Rung, limit: float) -> Rung:
    """Ask of an engine whether it is enough faster than another."""
    speedup = _p50_ms(rival) / _p50_ms(int8)
    reason = (
        f"INT8 is {speedup:.3f} times as fast as {rival.label}: p50 {_p50_ms(int8):.2f} ms against "
        f"{_p50_ms(rival):.2f} ms, limit {limit:.2f}"
    )
    verdict: Verdict = "pass" if speedup >= limit else "refuse"
    if doubt := _doubt(int8, rival, limit):
        verdict, reason = "inconclusive", f"whether INT8 is faster cannot be told: {doubt}"
    check = replace(answer("speedup", verdict, reason, value=speedup), limit=limit)
    reasons = () if verdict == "pass" else (reason,)
    return replace(
        int8,
        verdict=worst((int8.verdict, verdict)),
        reasons=(*reasons, *int8.reasons),
        checks=(*int8.checks, check),
    )


def _choose(passing: Sequence[Rung], int8_min_speedup: float) -> Rung | None:
    """Take the fastest; INT8 only where it earns its place (D3)."""
    fastest_first = sorted(passing, key=_p50_ms)
    rivals = [rung for rung in fastest_first if rung.precision != "int8"]
    if not rivals or fastest_first[0].precision != "int8":
        return fastest_first[0] if fastest_first else None
    speedup = _p50_ms(rivals[0]) / _p50_ms(fastest_first[0])
    doubt = _doubt(fastest_first[0], rivals[0], int8_min_speedup)
    return fastest_first[0] if speedup >= int8_min_speedup and not doubt else rivals[0]


def _passes(rung: Rung) -> bool:
    return rung.candidate and rung.verdict == "pass"


def _doubt(rung: Rung, other: Rung, limit: float) -> str:
    """Say why nobody can tell whether one is `limit` times as fast as another; empty where one can.

    Both were timed in turns, so that the same noise hit both: it does not matter where it is smaller than the
    difference, and the intervals of the medians say so.
    """
    noise = _noise(rung) or _noise(other)
    if not noise or not rung.latency_ms or not other.latency_ms:
        return noise
    low, high = rung.latency_ms.p50_ci
    other_low, other_high = other.latency_ms.p50_ci
    faster = _p50_ms(other) >= limit * _p50_ms(rung)
    settled = other_low >= limit * high if faster else other_high < limit * low
    return "" if settled else noise


def _noise(rung: Rung) -> str:
    """Say why the latency of a candidate cannot be believed; empty where it can."""
    noise = rung.latency_ms.noise if rung.latency_ms else ""
    return f"{rung.label}: {noise}" if noise else ""


def _p50_ms(rung: Rung) -> float:
    assert rung.latency_ms, "a candidate that passes was timed"
    return rung.latency_ms.p50


def _with_word_on(rung: Rung, ships: Rung, terms: Terms) -> Rung:
    """Say of a candidate that passes why it does not ship."""
    if not _passes(rung) or rung.id == ships.id:
        return rung
    if terms.wish not in ("auto", rung.precision):
        return replace(rung, reasons=(f"passes, but {terms.wish} was asked for",))
    if doubt := _doubt(rung, ships, terms.limits.int8_min_speedup):
        return replace(rung, reasons=(f"passes, but whether it is faster cannot be told: {doubt}",))
    speedup = _p50_ms(ships) / _p50_ms(rung)
    how = "is slower" if speedup < 1 else f"is only {speedup:.3f} times as fast"
    limit = "" if speedup < 1 else f", limit {terms.limits.int8_min_speedup:.2f}"
    against = f"p50 {_p50_ms(rung):.2f} ms against {_p50_ms(ships):.2f} ms of {ships.label}"
    return replace(rung, reasons=(f"passes, but {how}: {against}{limit}",))


def _say_why(ships: Rung, ladder: Sequence[Rung]) -> Iterator[str]:
    yield f"{ships.label} ships: p50 {_p50_ms(ships):.2f} ms, drift {ships.drift_pt:.2f} pt"
    for rung in ladder:
        if rung.candidate and rung.id != ships.id:
            yield from (f"{rung.label}: {reason}" for reason in rung.reasons)
