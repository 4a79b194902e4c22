"""`pipeline gate`: judge a stored report again."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.options import HERE, Config, Json, Root, Set, errors, print_json


def gate(
    report: Annotated[
        str | None, typer.Argument(help="Run id, its folder or report.json; default: last.")
    ] = None,
    *,
    config: Config = None,
    settings: Set = None,
    root: Root = HERE,
    as_json: Json = False,
) -> None:
    """Judge a stored report again, without running anything; exits as `run` does.

    The limits are those of the run, or of --config; --set changes one. Only `gate.…`, `build.precision` and
    `verify.max_age_h` matter here. A latency goes stale: its age counts from when it was measured to now.

    Examples:
    - `pipeline gate`
    - `pipeline gate report.json --set gate.int8_drift_pt=0.5`
    - `pipeline gate 20260504-093012-7f3a --config pipeline.yaml --set verify.max_age_h=720`
    """
    from datetime import datetime, timezone

    from pipeline.gate import exit_code
    from pipeline.rejudge import load_rules, rejudge
    from pipeline.report import load_report
    from pipeline.runs import find_run
    from pipeline.summary import show

    with errors(as_json=as_json):
        found = load_report(find_run(root, report))
        rules = load_rules(found, config, settings or [], folder=root)
        judged = rejudge(found, rules, now=datetime.now(timezone.utc))
        show(judged)
    if as_json:
        print_json(judged.to_json())
    raise typer.Exit(exit_code(judged))
