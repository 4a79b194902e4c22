"""What of a run may be released: what the gate lets pass, and what a person answers for, rule by rule.

A demo, and what no device measured, is never released. Any other rule may be overruled by name, with a reason
that is signed and published.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.gate import Wish
from pipeline.ladder import RunReport, TargetResult
from pipeline.rejudge import Rules
from pipeline.rung import Check, Rung, Verdict
from targets.errors import BudgetError, EdgeboundError, UsageError
from targets.release.facts import Override

_WHY_HINT = "Write --override 'RULE=WHY': WHY is signed, and everybody can read it."


@dataclass(frozen=True, kw_only=True)
class Overruled:
    """A question that the gate did not answer with a pass, and who answers for it all the same."""

    override: Override
    form: str
    check: Check


@dataclass(frozen=True, kw_only=True)
class Cleared:
    """An engine that may be released.

    Attributes:
        target: As the run calls it.
        result: Of the target, as judged now.
        rung: The engine's.
        overruled: What the gate held against it; nothing if it passed.
    """

    target: str
    result: TargetResult
    rung: Rung
    overruled: tuple[Overruled, ...] = ()

    @property
    def overrides(self) -> tuple[Override, ...]:
        """The overrides that it took, each once."""
        return tuple(dict.fromkeys(one.override for one in self.overruled))


@dataclass(frozen=True, kw_only=True)
class Held:
    """A target of which nothing is released.

    Attributes:
        verdict: As the gate has it; never `pass`.
        reasons: Why.
        rules: What would have to be overruled; empty where nothing can be.
    """

    target: str
    verdict: Verdict
    reasons: tuple[str, ...]
    rules: tuple[str, ...] = ()


def read_overrides(texts: Sequence[str]) -> tuple[Override, ...]:
    """Read `RULE=WHY`.

    Raises:
        UsageError: One has no rule or no reason, or a rule is there twice.
    """
    found: dict[str, Override] = {}
    for text in texts:
        rule, _, why = (part.strip() for part in text.partition("="))
        if not rule or not why or not (rule + why).isprintable():
            raise UsageError(f"--override {text!r} does not say which rule, or not why.", hint=_WHY_HINT)
        if found.setdefault(rule.casefold(), one := Override(rule, why)) != one:
            raise UsageError(f"--override {rule} is given twice, with two reasons.", hint=_WHY_HINT)
    return tuple(found.values())


def clear(
    report: RunReport, rules: Rules, overrides: Sequence[Override]
) -> tuple[tuple[Cleared, ...], tuple[Held, ...]]:
    """Say of each target of a report, which is judged again already, what is released or why nothing is.

    Raises:
        BudgetError: It is about a demo.
        EdgeboundError: The run failed.
        UsageError: An override overrules nothing.
    """
    _refuse(report)
    found = [_clear(name, one, rules, overrides) for name, one in report.targets.items()]
    cleared = tuple(one for one in found if isinstance(one, Cleared))
    held = tuple(one for one in found if isinstance(one, Held))
    used = {one for each in cleared for one in each.overrides}
    wanted = {rule for each in held for rule in each.rules}
    idle = [one for one in overrides if one not in used and not any(_covers(one, rule) for rule in wanted)]
    if idle and (cleared or wanted):
        raise UsageError(
            f"--override {idle[0].rule} overrules nothing: it held back no engine of run {report.run}.",
            hint=f"Rules that hold something back: {', '.join(sorted(wanted)) or 'none'}.",
        )
    return cleared, held


def _refuse(report: RunReport) -> None:
    if report.data == "demo" or report.settings.get("demo") is not None:
        raise BudgetError(
            f"Run {report.run} is a demo: its pictures are rendered, and it detects nothing real.",
            hint="Run with data of your own (`pipeline init DATA`); no override releases a demo.",
        )
    if report.error is not None:
        raise EdgeboundError(
            f"Run {report.run} failed: {report.error.what}",
            hint="Run again until it ends with a verdict; done steps are not done again.",
        )
    if not report.data:
        raise EdgeboundError(
            f"Run {report.run} does not say what data it was judged by.", hint="Run the pipeline again."
        )


def _clear(name: str, result: TargetResult, rules: Rules, overrides: Sequence[Override]) -> Cleared | Held:
    if _is_simulated(result):
        return Held(
            target=name,
            verdict="inconclusive",
            reasons=("simulated: no device built and measured its engines, and no override releases those",),
        )
    forms = {rung.id: rung for rung in result.ladder}
    if result.verdict == "pass" and result.ships:
        return Cleared(target=name, result=result, rung=forms[result.ships])
    found = [
        Cleared(target=name, result=result, rung=rung, overruled=overruled)
        for rung in _contenders(result, rules.build.precision)
        if (overruled := _overrule(rung, forms, overrides)) is not None
    ]
    best = _fastest(found, rules.gate.of(name).int8_min_speedup)
    return best or Held(
        target=name,
        verdict="inconclusive" if result.verdict == "pass" else result.verdict,
        reasons=result.reasons,
        rules=_nearest_rules(result, forms, rules.build.precision),
    )


def _is_simulated(result: TargetResult) -> bool:
    """Say whether a stand-in, and no device, stands behind a target, whatever the run's limits accept."""
    board = result.board is not None and result.board.simulated
    return board or any(rung.simulated or rung.runtime == "null" for rung in result.ladder)


def _contenders(result: TargetResult, wish: Wish) -> Iterator[Rung]:
    return (rung for rung in result.ladder if rung.candidate and wish in ("auto", rung.precision))


def _line(rung: Rung, forms: Mapping[str, Rung]) -> Iterator[Rung]:
    """Give a form and all that it was made from."""
    yield rung
    while rung.parent is not None:
        rung = forms[rung.parent]
        yield rung


def _open(rung: Rung, forms: Mapping[str, Rung]) -> list[tuple[str, Check]] | None:
    """Give what is held against an engine; None where something is that nobody can answer for."""
    line = tuple(_line(rung, forms))
    if any(form.verdict in ("error", "unsupported") and not form.checks for form in line):
        return None
    found = [(form.label, check) for form in line for check in form.checks if check.verdict != "pass"]
    return found or None


def _overrule(
    rung: Rung, forms: Mapping[str, Rung], overrides: Sequence[Override]
) -> tuple[Overruled, ...] | None:
    """Give the overrides that an engine takes; None where they do not cover all that is held against it."""
    found = []
    for form, check in _open(rung, forms) or ():
        override = next((one for one in overrides if _covers(one, check.measure)), None)
        if override is None:
            return None
        found.append(Overruled(override=override, form=form, check=check))
    return tuple(found) or None


def _covers(override: Override, measure: str) -> bool:
    """Say whether a rule is meant: by its whole name, or all of its kind, as `AP50 loss` of all classes."""
    rule, name = override.rule.casefold(), measure.casefold()
    return name == rule or any(name.startswith(f"{rule} {word} ") for word in ("of", "at"))


def _fastest(found: Sequence[Cleared], int8_min_speedup: float) -> Cleared | None:
    """Take the fastest, as the gate does: INT8 only where it is enough faster than the others."""
    ranked = sorted(found, key=lambda one: _p50_ms(one.rung))
    others = [one for one in ranked if one.rung.precision != "int8"]
    if not others or ranked[0].rung.precision != "int8":
        return ranked[0] if ranked else None
    speedup = _p50_ms(others[0].rung) / _p50_ms(ranked[0].rung)
    return ranked[0] if speedup >= int8_min_speedup else others[0]


def _p50_ms(rung: Rung) -> float:
    """Give the latency; of what was not timed, the worst."""
    p50 = rung.latency_ms.p50 if rung.latency_ms else math.nan
    return p50 if p50 > 0 else math.inf


def _nearest_rules(result: TargetResult, forms: Mapping[str, Rung], wish: Wish) -> tuple[str, ...]:
    """Give what would have to be overruled for the engine of which least is held against."""
    sets = [
        tuple(dict.fromkeys(check.measure for _, check in found))
        for rung in _contenders(result, wish)
        if (found := _open(rung, forms))
    ]
    return min(sets, key=len, default=())
