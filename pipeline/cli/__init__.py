"""The command line: parse, call, print. People read stderr; stdout is for programs.

Exit codes (design decision D7): 0 releasable · 1 something failed · 2 the command line or the configuration
is wrong · 3 the gate refused · 4 inconclusive, evidence is missing · 5 the target cannot run the model ·
130 interrupted. Of several targets the worst counts, in the order 1, 3, 5, 4, 0.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from pipeline.cli.bisect import bisect
from pipeline.cli.boards import accept, kit
from pipeline.cli.check import check
from pipeline.cli.compare import compare
from pipeline.cli.detect import detect
from pipeline.cli.gate import gate
from pipeline.cli.key import key_app
from pipeline.cli.options import (
    HERE,
    Baseline,
    Config,
    Demo,
    Executor,
    Json,
    Root,
    Set,
    Target,
    Until,
    errors,
    import_from,
    interruptible,
    print_json,
    say,
)
from pipeline.cli.plan import plan
from pipeline.cli.pull import pull
from pipeline.cli.registry import Ca, PlainHttp, Trust, ways_of
from pipeline.cli.release import release
from pipeline.cli.store import store_app
from pipeline.cli.targets import targets
from pipeline.cli.verify import verify

if TYPE_CHECKING:
    from pipeline.ladder import RunReport

app = typer.Typer(
    name="pipeline",
    help="Take a YOLO-type detector from a data set to a released engine on an edge device, and prove at "
    "every step that it is still the same detector.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.add_typer(store_app, name="store")
app.add_typer(key_app, name="key")


@app.command()
def run(  # noqa: PLR0913
    context: typer.Context,
    *,
    target: Target = None,
    config: Config = None,
    demo: Demo = False,
    settings: Set = None,
    until: Until = None,
    baseline: Baseline = None,
    trust: Trust = None,
    ca: Ca = None,
    plain_http: PlainHttp = None,
    executor: Executor = "local",
    root: Root = HERE,
    as_json: Json = False,
) -> None:
    """Run the pipeline up to a verdict.

    Steps that are done already, with the same settings, inputs and code, are not done again; a run that was
    interrupted or killed goes on where it was.

    Examples:
    - `pipeline run --demo`
    - `pipeline run --target cpu --target cpu-ort --set train.epochs=50`
    - `pipeline run --target cpu --baseline 20260504-093012-7f3a`
    - `pipeline run --target cpu --baseline registry.example/team/steel:stable --trust trust.json`
    - `pipeline run --target orin --json | tail -n 1 | jq -r .verdict`
    """
    from pipeline.asked import request_of
    from pipeline.executor import find_executor
    from pipeline.kits import Order
    from pipeline.progress import display

    with errors(as_json=as_json):
        import_from(root)
        order = Order(
            config=str(config or ""),
            settings=tuple(settings or ()),
            demo=demo,
            asked=tuple(target or ["cpu"]),
            baseline=baseline or "",
        )
        request = request_of(order, root, ways_of(context, trust, ca, plain_http), until or "")
        with interruptible(), display() as reporter:
            report = find_executor(executor)(request, reporter)
    _conclude(report, as_json=as_json)


def _conclude(report: RunReport, *, as_json: bool) -> NoReturn:
    """Tell how a run ended, and end so."""
    from pipeline.gate import exit_code
    from pipeline.summary import show

    show(report)
    if as_json:
        print_json(report.to_json())
    raise typer.Exit(exit_code(report))


app.command()(plan)


@app.command()
def init(
    data: Annotated[Path, typer.Argument(help="Ultralytics data YAML, or COCO JSON of the training split.")],
    *,
    weights: Annotated[str, typer.Option(help="Checkpoint, or model name or YAML.")] = "yolo11n.pt",
    force: Annotated[bool, typer.Option(help="Overwrite a pipeline.yaml that is there.")] = False,
    root: Root = HERE,
) -> None:
    """Write a commented pipeline.yaml for a data set.

    Example:
    - `pipeline init data/data.yaml --weights yolo11n.pt`
    """
    from pipeline.starter import write_starter

    with errors():
        file = write_starter(data, root, weights=weights, force=force)
    say(f"Wrote {file}. Next: pipeline plan, then pipeline run --target cpu.")


app.command()(targets)


app.command()(check)


app.command()(kit)


app.command()(accept)


app.command()(pull)


app.command()(verify)


app.command()(detect)


app.command()(compare)


app.command()(gate)


app.command()(bisect)


app.command()(release)


@app.command()
def report(
    run: Annotated[
        str | None, typer.Argument(help="Run id, its folder or report.json; default: last.")
    ] = None,
    *,
    browse: Annotated[bool, typer.Option("--open", help="Open report.html in the browser.")] = False,
    root: Root = HERE,
    as_json: Json = False,
) -> None:
    """Show a run's result again, and write its report files anew from report.json.

    Example:
    - `pipeline report --open`
    """
    from pipeline.report import load_report, write_report
    from pipeline.runs import find_run
    from pipeline.summary import show

    with errors(as_json=as_json):
        folder = find_run(root, run)
        found = load_report(folder)
        write_report(found, folder)
        show(found)
    if browse:
        typer.launch(str(folder / "report.html"))
    if as_json:
        print_json(found.to_json())


@app.command()
def doctor(*, root: Root = HERE, as_json: Json = False) -> None:
    """Look at this machine: what is installed, what is missing, and how to get it.

    Example:
    - `pipeline doctor`
    """
    from dataclasses import asdict

    from pipeline.doctor import examine
    from pipeline.summary import show_examination

    with errors(as_json=as_json):
        findings = examine(root)
        show_examination(findings)
    if as_json:
        print_json(json.dumps([asdict(one) for one in findings]))
    raise typer.Exit(0 if all(one.ok or not one.required for one in findings) else 1)


def main() -> None:
    """Run the command line."""
    # torch's threads spin while they wait for each other. Where they share the cores with other work, a
    # training step on 2 threads took 8 to 20 times as long as on one (docs/log.md); sleeping costs little.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app(obj=dict(os.environ))  # for the commands that talk to registries, or sign
