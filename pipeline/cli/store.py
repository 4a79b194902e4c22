"""`pipeline store`: look after the store of finished steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import HERE, Json, Root, errors, print_json, say

if TYPE_CHECKING:
    from pipeline.store import Store

store_app = typer.Typer(help="Look after the store of finished steps.", no_args_is_help=True)


@store_app.command("ls")
def store_ls(*, root: Root = HERE, as_json: Json = False) -> None:
    """List the finished steps, oldest first."""
    from dataclasses import asdict

    from pipeline.summary import show_steps
    from pipeline.upkeep import ls

    with errors(as_json=as_json):
        steps = ls(_store(root))
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
    from pipeline.upkeep import fsck

    with errors():
        problems = fsck(_store(root), repair=repair)
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

    from pipeline.upkeep import gc

    with errors():
        now = datetime.now(timezone.utc)
        freed = gc(_store(root), older_than=timedelta(days=days), now=now)
    say(f"Freed {freed / 2**20:.1f} MiB.")


def _store(root: Path) -> Store:
    from pipeline.store import Store
    from targets.errors import UsageError

    store = Store(root / ".edgebound")
    if not store.blobs.is_dir():
        raise UsageError(
            f"There is no store in {root.resolve()}: nothing has run there yet.",
            hint="--root names another folder; `pipeline run` makes a store.",
        )
    return store
