"""`pipeline check`: any ONNX file against any targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import Json, Target, errors, print_json, say

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.inspect import Inspected, Row
    from stages.check.fix import Step

_DLA_LINES = 9  # the figures, and the most frequent reasons to fall back; all are in --json
_COLOURS = {"error": "[red]error[/]", "warning": "[yellow]warning[/]", "": "[green]ok[/]"}


def check(
    model: Annotated[
        Path,
        typer.Argument(help="Any ONNX file; or a checkpoint (.pt) or model YAML, which is exported first."),
    ],
    *,
    target: Target = None,
    sarif: Annotated[Path | None, typer.Option(help="Write the findings there as SARIF 2.1.0 too.")] = None,
    fix: Annotated[
        Path | None, typer.Option(help="Write there a model with safe rewrites, and check that one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check every operator of a model against what targets can run; exit 5 if one of them cannot.

    A rewrite (constants folded, operator set converted, INT64 narrowed, Mod spelled out) is kept only if ONNX
    Runtime gives the same with and without it, on random inputs.

    Examples:
    - `pipeline check model.onnx --target cpu --target orin`
    - `pipeline check best.pt --target orin@5.1`
    - `pipeline check model.onnx --target orin --fix fixed.onnx --sarif findings.sarif`
    """
    from dataclasses import asdict
    from tempfile import TemporaryDirectory

    from pipeline.inspect import as_onnx, fix_model, inspect, to_json
    from pipeline.profiles import find_profiles
    from pipeline.report.sarif import write_sarif

    with errors(as_json=as_json), TemporaryDirectory(prefix="edgebound-") as folder:
        profiles = find_profiles(target or ["cpu"])
        source = as_onnx(model, Path(folder))
        steps = fix_model(source, profiles, fix) if fix else ()
        _show_steps(steps, asked=fix is not None)
        fixed = fix if fix and any(step.done for step in steps) else None
        seen = fixed or model
        found = inspect(fixed or source, profiles)
        _show(seen, found)
        if sarif:
            write_sarif(sarif, seen, found)
    if as_json:
        print_json(to_json(seen, found, fixed=[asdict(step) for step in steps]))
    raise typer.Exit(5 if any(one.unsupported for one in found.values()) else 0)


def _show_steps(steps: Sequence[Step], *, asked: bool) -> None:
    for step in steps:
        proof = "" if step.difference is None else f" (largest difference {step.difference:.2g})"
        say(f"{'did' if step.done else 'did not'} {step.what}{proof}{': ' if step.note else ''}{step.note}")
    if asked and not any(step.done for step in steps):
        say("Nothing was rewritten, and no file written.")


def _show(model: Path, found: Mapping[str, Inspected]) -> None:
    """Show one table for all targets, and below it the verdicts."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from pipeline.inspect import rows_of

    console = Console(stderr=True, highlight=False)
    rows = list(rows_of(found))
    if rows:
        table = Table(title=escape(model.name), title_justify="left")
        for title in ("operator", "at", *map(escape, found), "why, and what to do"):
            table.add_column(title, overflow="fold")
        for row in rows:
            table.add_row(*_cells(row))
        console.print(table)
    for name, inspected in found.items():
        _show_verdict(console, escape(name), escape(model.name), inspected)


def _cells(row: Row) -> list[str]:
    from rich.markup import escape

    finding = row.finding
    places = [finding.node if finding.op else finding.node or "the whole model", finding.module, finding.line]
    more = [f"and {row.count - 1} more"] if row.count > 1 else []
    texts = (escape(text) for text in (*row.reasons, finding.remedy) if text)
    place = "\n".join(escape(one) for one in dict.fromkeys([*places, *more]) if one)
    return [escape(finding.op), place, *(_COLOURS[mark] for mark in row.marks.values()), "\n".join(texts)]


def _show_verdict(console: Console, name: str, model: str, inspected: Inspected) -> None:
    from rich.markup import escape

    word = "[bold red]cannot run[/]" if inspected.unsupported else "[bold green]can run[/]"
    asked = inspected.confirmed_by
    console.print(
        f"[bold]{name}[/] {word} {model}" + (f" (TensorRT {asked} here was asked)" if asked else "")
    )
    if inspected.dla is not None:
        for line in inspected.dla.told()[:_DLA_LINES]:
            console.print(f"  {escape(line)}")
