"""Judging again: a stored report held against other limits. Nothing runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.config import check_targets, load_config
from pipeline.gate import Terms, judge, overall
from pipeline.ladder import RunReport, TargetResult
from pipeline.limits import Gate
from pipeline.sections import BuildSection, VerifySection
from pipeline.yaml_file import Source, override, parse
from targets.errors import EdgeboundError, UsageError
from targets.profile import Budgets

_HINT = "`pipeline gate --help` says what may be set."


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The settings that a verdict depends on, as `pipeline.yaml` has them."""

    gate: Gate = field(default_factory=Gate)
    build: BuildSection = field(default_factory=BuildSection)
    verify: VerifySection = field(default_factory=VerifySection)


def load_rules(report: RunReport, config: Path | None, settings: Sequence[str], *, folder: Path) -> Rules:
    """Find what to judge by.

    Args:
        report: Whose own settings count where no configuration is named.
        config: As --config named it.
        settings: `section.key=value`, applied last.
        folder: Of the project.

    Raises:
        UsageError: A setting is of another section, or the report does not say what limits it had.
        ConfigError: A setting is wrong.
    """
    if config is not None:
        whole = load_config(config, settings, demo=False, folder=folder)
        return Rules(gate=whole.gate, build=whole.build, verify=whole.verify)
    sections = ("gate", "build", "verify")
    if strange := [one for one in settings if one.partition(".")[0].strip() not in sections]:
        raise UsageError(
            f"--set {strange[0]}: judging again runs nothing, so only gate, build and verify matter.",
            hint=_HINT,
        )
    if "gate" not in report.settings:
        raise UsageError(
            f"The report of {report.run} does not say its limits.", hint="Name some by --config."
        )
    known = {name: report.settings[name] for name in sections if name in report.settings}
    source = override(Source(known, {}, f"report of {report.run}"), settings)
    rules = parse(Rules, source, hint=_HINT)
    check_targets(rules.gate, source)
    return rules


def rejudge(report: RunReport, rules: Rules, *, now: datetime) -> RunReport:
    """Give the report as the gate judges it now.

    Raises:
        EdgeboundError: It does not say what a target may afford.
    """
    targets = {name: _rejudge(name, target, report, rules, now) for name, target in report.targets.items()}
    if report.error is not None:
        return replace(report, verdict="error", targets=targets)
    verdict, reasons = overall(targets)
    return replace(report, verdict=verdict, reasons=reasons, targets=targets)


def _rejudge(name: str, target: TargetResult, report: RunReport, rules: Rules, now: datetime) -> TargetResult:
    if not target.ladder and target.verdict != "pass":
        return target  # it did not get as far as a ladder
    terms = Terms(
        limits=rules.gate.of(name),
        budgets=_budgets(name, target.profile),
        wish=rules.build.precision,
        now=now,
        max_age_h=rules.verify.max_age_h,
        baseline=report.baseline,
    )
    judged = judge(target.ladder, terms)
    ships = judged.ships
    return replace(
        target,
        verdict=judged.verdict,
        reasons=judged.reasons,
        ladder=judged.ladder,
        ships=ships.id if ships else None,
        engine=target.engine if ships and ships.id == target.ships else None,
        precision=ships.precision if ships else None,
        runtime=ships.runtime if ships and ships.runtime != "pytorch" else None,
    )


def _budgets(name: str, profile: Mapping[str, Any]) -> Budgets:
    """Give what a target's application can afford.

    Raises:
        EdgeboundError: The report does not say, so a budget could be missed unseen.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(Budgets).validate_python(profile["budgets"])
    except (KeyError, ValidationError) as exc:
        raise EdgeboundError(
            f"The report does not say what {name} can afford (profile.budgets).",
            hint="Run the pipeline again to write a whole report.",
        ) from exc
