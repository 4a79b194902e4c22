"""What people see on the terminal: tables on stderr."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.ladder import Rung, RunReport, TargetResult
from pipeline.report.words import NOT_JUDGED
from pipeline.training import training_line

if TYPE_CHECKING:
    from pipeline.comparison import Comparison
    from pipeline.doctor import Examined
    from pipeline.preview import Planned
    from pipeline.upkeep import Listed

_COLOURS = {"pass": "green", "refuse": "red", "inconclusive": "yellow", "unsupported": "red", "error": "red"}


def _console() -> Console:
    console = Console(stderr=True, highlight=False)
    return console if console.is_terminal else Console(stderr=True, highlight=False, width=140)


def _verdict(verdict: str) -> str:
    return f"[bold {_COLOURS[verdict]}]{verdict}[/]"


def show(report: RunReport) -> None:
    """Show how a run ended: verdict, reasons, a ladder for each target, and where the report is."""
    console = _console()
    for name, target in report.targets.items():
        console.print()
        console.print(f"[bold]{escape(name)}[/]  {_verdict(target.verdict)}")
        for reason in target.reasons:
            console.print(f"  {escape(reason)}", soft_wrap=True)
        if target.ladder:
            console.print(_ladder(target))
        if target.engine:
            console.print(f"  engine  {escape(target.engine)}", soft_wrap=True)
        if target.kit:
            console.print(f"  kit     {escape(target.kit)}", soft_wrap=True)
    if report.training:
        console.print()
        console.print(f"training: {training_line(report.training)}", markup=False, soft_wrap=True)
    if report.error:
        console.print(f"error: {report.error.what}\nhint:  {report.error.hint}", markup=False, soft_wrap=True)
    console.print()
    console.print(
        f"{_verdict(report.verdict)} in {report.seconds:.1f} s  {escape(report.run_dir)}/report.html",
        soft_wrap=True,
    )


def _ladder(target: TargetResult) -> Table:
    table = _table("form", "mAP50-95", "mAP50", "drift pt", "95 % interval", "p50 ms", "p99 ms", "MiB", "")
    for column in table.columns[1:8]:
        column.justify = "right"
    for rung in target.ladder:
        low, high = rung.drift_ci_pt
        shipped = " ← ships" if rung.id == target.ships else ""
        table.add_row(
            _form(rung),
            _number(rung.map50_95, 4),
            _number(rung.map50, 4),
            _number(rung.drift_pt, 2) if rung.parent else "",
            f"{_number(low, 2)} to {_number(high, 2)}" if rung.parent else "",
            _number(rung.latency_ms.p50, 2) if rung.latency_ms else "",
            _number(rung.latency_ms.p99, 2) if rung.latency_ms else "",
            f"{rung.size_bytes / 2**20:.1f}",
            f"{_verdict(rung.verdict)}{shipped}" if rung.is_judged else f"[dim]{NOT_JUDGED}[/]",
        )
    return table


def _form(rung: Rung) -> str:
    return f"onnx, simulated {rung.precision}" if rung.form == "quantize" else rung.label


def _number(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for column in columns:
        table.add_column(column)
    return table


def show_plan(steps: Sequence[Planned]) -> None:
    """Show what a run would do."""
    table = _table("step", "", "last took")
    states = {"cached": "[dim]cached[/]", "runs": "[bold]runs[/]", "open": "open"}
    for step in steps:
        seconds = f"{step.seconds:.1f} s" if step.seconds is not None else ""
        table.add_row(step.title, states[step.state], seconds)
    console = _console()
    console.print(table)
    steps = [step for step in steps if step.state != "open"]
    to_run = [step for step in steps if step.state == "runs"]
    known = sum(step.seconds or 0.0 for step in to_run)
    unknown = sum(1 for step in to_run if step.seconds is None)
    guess = f"about {known:.0f} s by the last time they ran" if known else "no time known yet"
    more = f", {unknown} of them never ran before" if unknown and known else ""
    console.print(f"{len(to_run)} of {len(steps)} steps would run; {guess}{more}.")


def show_comparison(found: Comparison) -> None:
    """Show what changed from one run to another."""
    console = _console()
    for name, target in found.targets.items():
        console.print()
        console.print(f"[bold]{escape(name)}[/]  {_verdict(target.verdict)}")
        for reason in target.reasons:
            console.print(f"  {escape(reason)}", soft_wrap=True)
        table = _table("form", "", "", found.before, found.after, "change")
        for column in table.columns[3:]:
            column.justify = "right"
        table.add_row("", "verdict", "", *target.verdicts, "")
        table.add_row("", "ships", "", *(one or "nothing" for one in target.ships), "")
        for one in target.changes:
            digits = 4 if one.measure == "mAP50-95" else 2
            difference = one.after - one.before
            figures = (_number(one.before, digits), _number(one.after, digits), _signed(difference, digits))
            table.add_row(one.form, one.measure, one.unit, *figures)
        console.print(table)


def _signed(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value:+.{digits}f}"


def show_examination(findings: Sequence[Examined]) -> None:
    """Show what `doctor` found."""
    table = _table("", "what", "found", "")
    for one in findings:
        mark = "[green]ok[/]" if one.ok else ("[bold red]missing[/]" if one.required else "[yellow]none[/]")
        table.add_row(mark, escape(one.what), escape(one.found), "" if one.ok else escape(one.hint))
    _console().print(table)


def show_steps(steps: Sequence[Listed]) -> None:
    """List finished steps."""
    table = _table("key", "step", "made", "seconds", "MiB")
    for one in steps:
        title = f"{one.stage} {one.label}".strip()
        table.add_row(one.key[:12], title, one.made, f"{one.seconds:.1f}", f"{one.size_bytes / 2**20:.1f}")
    _console().print(table)
