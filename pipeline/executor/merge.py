"""Merge: the reports of a run's jobs become the report of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from pipeline.gate import overall
from pipeline.ladder import RunReport, Step, TargetResult
from pipeline.request import Request
from targets.errors import EdgeboundError


def merge(shared: RunReport, parts: Mapping[str, RunReport | EdgeboundError], request: Request) -> RunReport:
    """Put together what the job of all and those of the targets found.

    Args:
        shared: Of the job that trains.
        parts: By target; empty if it was to go no further than the first.
        request: That they answer.
    """
    reports = [shared, *(part for part in parts.values() if isinstance(part, RunReport))]
    targets = {name: _target(name, part, request) for name, part in parts.items()} or dict(shared.targets)
    error = next((report.error for report in reports if report.error), None)
    verdict, reasons = overall(targets)
    if error is not None:
        verdict, reasons = "error", (error.what,)
    last = reports[-1]
    return replace(
        last,
        verdict=verdict,
        reasons=reasons,
        error=error,
        targets=targets,
        epochs=next((report.epochs for report in reports if report.epochs), ()),
        training=next((report.training for report in reports if report.training), None),
        frontier=next((report.frontier for report in reports if report.frontier), ()),
        steps=_steps(reports),
        notes=tuple(dict.fromkeys(note for report in reports for note in report.notes)),
    )


def _target(name: str, part: RunReport | EdgeboundError, request: Request) -> TargetResult:
    if isinstance(part, RunReport) and name in part.targets:
        return part.targets[name]
    error = part if isinstance(part, EdgeboundError) else part.error
    assert error is not None
    return TargetResult(
        verdict="error",
        reasons=(error.what, error.hint),
        engine=None,
        precision=None,
        runtime=None,
        ladder=(),
        profile=asdict(request.profiles[name]),
    )


def _steps(reports: Sequence[RunReport]) -> tuple[Step, ...]:
    """Give each step once, with the job that did its work before those that found it done."""
    found: dict[str, Step] = {}
    for step in (step for report in reports for step in report.steps):
        if step.key not in found:
            found[step.key] = step
    return tuple(found.values())
