"""`pipeline store`: look after the store of finished steps."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from pipeline.cli.options import HERE, Json, Root, errors, print_json, say

store_app = typer.Typer(help="Look after the store of finished steps.", no_args_is_help=True)


@store_app.command("ls")
def store_ls(*, root: Root = HERE, as_json: Json = False) -> None:
    """List the finished steps, oldest first."""
    from dataclasses import asdict

    from pipeline.store import Store
    from pipeline.summary import show_steps
    from pipeline.upkeep import ls

    with errors(as_json=as_json):
        steps = ls(Store(root / ".edgebound"))
        show_steps(steps)
    if as_json:
        print_json(json.dumps([asdict(step) for step in steps]))


@store_app.command("fsck")
def store_fsck(
    *,
    repair: Annotated[bool, typer.Option(help="Forget damaged steps; they are done again.")] = False,
    root: Root = HERE,
) -> None:
    """Read every byte of the store; exit 1 if anything is wrong."""
    from pipeline.store import Store
    from pipeline.upkeep import fsck

    with errors():
        problems = fsck(Store(root / ".edgebound"), repair=repair)
    for problem in problems:
        say(problem)
    say(f"{len(problems)} problems{' repaired' if repair and problems else ''}." if problems else "Clean.")
    raise typer.Exit(1 if problems and not repair else 0)


@store_app.command("gc")
def store_gc(
    *,
    days: Annotated[float, typer.Option(help="Forget steps not used for so many days.")] = 30.0,
    root: Root = HERE,
) -> None:
    """Delete what has not been used for a while, and files that no step needs."""
    from datetime import datetime, timedelta, timezone

    from pipeline.store import Store
    from pipeline.upkeep import gc

    with errors():
        now = datetime.now(timezone.utc)
        freed = gc(Store(root / ".edgebound"), older_than=timedelta(days=days), now=now)
    say(f"Freed {freed / 2**20:.1f} MiB.")
