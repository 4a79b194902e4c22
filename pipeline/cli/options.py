"""What the commands share: options, and how errors and results are told."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

from pipeline.executor import ExecutorName
from targets.errors import EdgeboundError

INTERRUPTED = 130  # 128 + SIGINT, as shells have it

HERE = Path()
Root = Annotated[
    Path,
    typer.Option(
        "--root", exists=True, file_okay=False, help="Folder of the project; state is kept in its .edgebound."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document as the last line of stdout.")]
Config = Annotated[
    Path | None, typer.Option("--config", "-c", help="Configuration; default: pipeline.yaml in the root.")
]
Demo = Annotated[bool, typer.Option("--demo", help="Render a data set and train a small model from scratch.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="Override one setting: section.key=value. Repeatable.")
]
Target = Annotated[
    list[str] | None,
    typer.Option("--target", "-t", help="Target profile, name or YAML file. Repeatable. Default: cpu."),
]
Until = Annotated[
    Literal["data", "train", "prune", "export", "check", "quantize", "build", "verify"] | None,
    typer.Option(help="Stop after this stage. Without a verdict the exit code is 4."),
]
Baseline = Annotated[
    str | None,
    typer.Option(
        "--baseline",
        help="Earlier run; hold this one against what that shipped. Id, folder or report.json, or a release: "
        "host/name:stable.",
    ),
]
Executor = Annotated[
    ExecutorName, typer.Option("--executor", help="Who works: this machine, or jobs of a Slurm cluster.")
]


@contextmanager
def errors(*, as_json: bool = False) -> Iterator[None]:
    """Show our own errors as two lines, and as the last line's JSON; bugs stay tracebacks."""
    try:
        yield
    except EdgeboundError as exc:
        fail(exc.what, exc.hint, exc.code, as_json=as_json)
    except KeyboardInterrupt:
        # Had it broken into an exec() or eval(), as while packages load, Python would die by SIGINT at its
        # end and not with our exit code; the next exec() clears that flag (CPython, run_eval_code_obj).
        exec("")  # noqa: S102
        hint = "Finished steps are kept, and so is what training had; the same command goes on from there."
        fail("Interrupted.", hint, INTERRUPTED, as_json=as_json)


def fail(what: str, hint: str, code: int, *, as_json: bool) -> NoReturn:
    """Tell what went wrong and what to do, and end with an exit code."""
    say(f"error: {what}\nhint:  {hint}")
    if as_json:
        from pipeline.ladder import Failure, RunReport

        nothing = RunReport(
            run="",
            verdict="error",
            reasons=(what,),
            error=Failure(what=what, hint=hint, code=code),
            run_dir="",
            seconds=0.0,
            data="",
            targets={},
        )
        print_json(nothing.to_json())
    raise typer.Exit(code)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM, which CI systems send to cancel, end as cleanly as Ctrl-C."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def say(text: str) -> None:
    """Tell people."""
    print(text, file=sys.stderr)


def print_json(text: str) -> None:
    """Tell programs."""
    print(text, flush=True)


def import_from(root: Path) -> None:
    """Make the user's own packages, which lie beside pipeline.yaml, importable."""
    sys.path.insert(0, str(root.resolve()))
