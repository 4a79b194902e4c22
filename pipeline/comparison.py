"""Comparison of two runs: what changed, and whether the second may take the first's place."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pipeline.baseline import conditions_of, find_index, find_shipped, refuse_differences, released
from pipeline.checks import Terms, against_release
from pipeline.figures import Figure
from pipeline.gate import SEVERITY, worst
from pipeline.ladder import Rung, RunReport, TargetResult, Verdict, strict
from pipeline.rejudge import Rules
from pipeline.report import load_report
from stages.stage import no_progress
from stages.verify import Compare, CompareInputs
from targets.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Change:
    """One figure of one form in both runs; NaN where a run has none.

    Attributes:
        form: As `openvino int8`.
        better: The direction that is better: `higher` or `lower`.
    """

    form: str
    measure: str
    unit: str
    before: Figure
    after: Figure
    better: str


@dataclass(frozen=True, kw_only=True)
class TargetComparison:
    """One target in both runs.

    Attributes:
        verdict: Whether what the second run ships may take the place of what the first shipped.
        reasons: Why; each with value and limit.
        verdicts: Of the target in both runs.
        ships: What each run ships, as `openvino int8`; empty for nothing.
        changes: Figures that both runs have, whether they changed or not.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    verdicts: tuple[Verdict, Verdict]
    ships: tuple[str, str]
    changes: tuple[Change, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two runs.

    Attributes:
        before: Id of the first, `after` of the second.
        verdict: The worst of all targets.
    """

    before: str
    after: str
    verdict: Verdict
    targets: Mapping[str, TargetComparison]

    def to_json(self) -> str:
        """Give it as strict JSON, in one line."""
        return json.dumps(strict(asdict(self)), allow_nan=False, ensure_ascii=False)


def compare_runs(first: Path, second: Path, terms: Terms, rules: Rules) -> Comparison:
    """Compare two runs, target by target.

    Args:
        first: Folder of the run that is there.
        second: Folder of the one that is to take its place.
        terms: With the time; limits come from `rules`.
        rules: To hold the second against.

    Raises:
        UsageError: They hold for other data, another size or other thresholds, or share no target.
        EdgeboundError: A report cannot be read.
    """
    before, after = load_report(first), load_report(second)
    refuse_differences(before.run, conditions_of(before), after.run, conditions_of(after))
    shared = [name for name in before.targets if name in after.targets]
    if not shared:
        raise UsageError(
            f"{before.run} and {after.run} have no target in common.",
            hint="Compare runs for the same target.",
        )
    sides = ((before, first), (after, second))
    targets = {
        name: _compare(name, sides, replace(terms, limits=rules.gate.of(name), baseline=before.run))
        for name in shared
    }
    gone = (name for name in before.targets if name not in shared)
    targets |= {name: _only_before(before.targets[name], after.run) for name in gone}
    verdict = worst(one.verdict for one in targets.values())
    return Comparison(before=before.run, after=after.run, verdict=verdict, targets=targets)


def _only_before(target: TargetResult, other: str) -> TargetComparison:
    return TargetComparison(
        verdict="inconclusive",
        reasons=(f"{other} was not run for this target",),
        verdicts=(target.verdict, "inconclusive"),
        ships=(_label(target), ""),
        changes=(),
    )


def _compare(name: str, sides: Sequence[tuple[RunReport, Path]], terms: Terms) -> TargetComparison:
    one, other = (report.targets[name] for report, _ in sides)
    verdict, reasons = _judge(name, sides, terms)
    return TargetComparison(
        verdict=verdict,
        reasons=reasons,
        verdicts=(one.verdict, other.verdict),
        ships=(_label(one), _label(other)),
        changes=tuple(_changes(one, other)),
    )


def _judge(
    name: str, sides: Sequence[tuple[RunReport, Path]], terms: Terms
) -> tuple[Verdict, tuple[str, ...]]:
    """Hold what the second run ships against what the first shipped, picture by picture."""
    verdict = sides[1][0].targets[name].verdict
    if verdict != "pass":
        return verdict, (f"{sides[1][0].run} does not pass itself",)
    try:
        before, after = (find_shipped(report, folder, name) for report, folder in sides)
        index = find_index(*sides[1])
    except UsageError as exc:
        return "inconclusive", (exc.what,)
    inputs = CompareInputs(baseline=before.detections, candidate=after.detections, index=index)
    compared = Compare(conf=conditions_of(sides[1][0]).conf).run(inputs, Path(), no_progress)
    rung = replace(after.rung, released=released(sides[0][0].run, before, compared))
    checks = sorted(against_release(rung, terms), key=lambda check: SEVERITY.index(check.verdict))
    verdict = worst(check.verdict for check in checks)
    telling = [check.reason for check in checks if check.verdict == verdict]
    if verdict == "pass":
        telling = [f"may take the place of {before.rung.label}: {telling[0]}"]
    return verdict, tuple(telling)


def _label(target: TargetResult) -> str:
    return next((rung.label for rung in target.ladder if rung.id == target.ships), "")


def _changes(one: TargetResult, other: TargetResult) -> Iterator[Change]:
    """List the figures of the forms that both runs have."""
    after = {rung.id: rung for rung in other.ladder}
    for rung in one.ladder:
        if rung.id in after:
            theirs = _figures(after[rung.id])
            for (measure, unit, better), value in _figures(rung).items():
                now = theirs[measure, unit, better]
                if not (math.isnan(value) and math.isnan(now)):
                    yield Change(
                        form=rung.label, measure=measure, unit=unit, before=value, after=now, better=better
                    )


def _figures(rung: Rung) -> dict[tuple[str, str, str], float]:
    latency = rung.latency_ms
    return {
        ("mAP50-95", "", "higher"): rung.map50_95,
        ("drift", "pt", "lower"): rung.drift_pt if rung.parent else math.nan,
        ("p50", "ms", "lower"): latency.p50 if latency else math.nan,
        ("p99", "ms", "lower"): latency.p99 if latency else math.nan,
        ("memory", "MiB", "lower"): rung.memory_mib,
        ("size", "MiB", "lower"): rung.size_bytes / 2**20 if rung.size_bytes else math.nan,
    }
