"""`pipeline bisect`: the first layer at which a form departs from the form before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import HERE, Json, Root, errors, interruptible, print_json, say

if TYPE_CHECKING:
    from pipeline.bisect import Bisected


def bisect(  # noqa: PLR0913
    run: Annotated[
        str | None, typer.Argument(help="Run id, its folder or report.json; default: last.")
    ] = None,
    *,
    form: Annotated[
        str, typer.Option(help="Form to look at, as quantize-int8; default: the first that departs.")
    ] = "",
    target: Annotated[str, typer.Option("--target", "-t", help="Target of the run, if it has several.")] = "",
    limit_db: Annotated[
        float | None,
        typer.Option(help="Signal to noise below which a layer departs. Default: fp32 60, fp16 25, int8 5."),
    ] = None,
    pictures: Annotated[int, typer.Option(min=1, help="Validation pictures to look at.")] = 8,
    root: Root = HERE,
    as_json: Json = False,
) -> None:
    """Show, layer by layer, how far a form is from the form it was made from, and where it departs.

    Works from what a run left in the store; nothing is trained, quantized or built again. Of an engine only
    boxes and scores can be seen. Exit codes: 0 no layer departs · 3 one does · 4 something is gone.

    Examples:
    - `pipeline bisect`
    - `pipeline bisect 20260504-093012-7f3a --form quantize-int8 --limit-db 10`
    """
    from pipeline.bisect import Question
    from pipeline.bisect import bisect as find
    from pipeline.conduct import STATE
    from pipeline.progress import display
    from pipeline.runner import Runner
    from pipeline.runs import find_run
    from pipeline.store import Store

    with errors(as_json=as_json):
        folder = find_run(root, run)
        store = Store(root / STATE)
        store.prepare()
        question = Question(form=form, target=target, limit_db=limit_db, pictures=pictures)
        with interruptible(), display() as reporter:
            found = find(folder, question, Runner(store, reporter))
        _show(found)
    if as_json:
        print_json(found.to_json())
    raise typer.Exit(0 if found.first is None else 3)


def _show(found: Bisected) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, padding=(0, 1), header_style="dim")
    table.add_column("layer")
    for column in ("cosine", "max abs", "SQNR dB", ""):
        table.add_column(column, justify="right" if column else "left")
    for layer in found.layers:
        departs = not layer.sqnr_db >= found.limit_db
        mark = "[bold red]← first[/]" if layer.point == found.first else "[red]×[/]" if departs else ""
        figures = (f"{layer.cosine:.6f}", f"{layer.max_abs:.3g}", f"{layer.sqnr_db:.1f}")
        table.add_row(escape(layer.point), *figures, mark)
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        console = Console(stderr=True, highlight=False, width=160)
    console.print(table)
    where = "no layer departs" if found.first is None else f"departs at {found.first}"
    say(
        f"{found.label} beside {found.parent}: {where} "
        f"(limit {found.limit_db:g} dB, {len(found.layers)} layers, {found.pictures} pictures)"
    )
