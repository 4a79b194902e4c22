"""`pipeline compare`: what changed from one run to another."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.options import HERE, Config, Json, Root, Set, errors, print_json


def compare(
    before: Annotated[str, typer.Argument(help="Run that is there: run id, its folder or report.json.")],
    after: Annotated[str | None, typer.Argument(help="Run that is to take its place; default: last.")] = None,
    *,
    config: Config = None,
    settings: Set = None,
    root: Root = HERE,
    as_json: Json = False,
) -> None:
    """Compare two runs, and say whether the second may take the place of the first.

    What both ship is compared picture by picture, with intervals, against the limits of the second run.
    Exit codes: 0 it may · 3 it loses too much · 4 that cannot be told · 2 the runs are of other data, another
    size or other thresholds.

    Examples:
    - `pipeline compare 20260504-093012-7f3a`
    - `pipeline compare old/report.json new/report.json --set gate.baseline_drift_pt=0.5`
    """
    from datetime import datetime, timezone

    from pipeline.checks import Terms
    from pipeline.comparison import compare_runs
    from pipeline.gate import EXIT_CODES
    from pipeline.rejudge import load_rules
    from pipeline.report import load_report
    from pipeline.runs import find_run
    from pipeline.summary import show_comparison

    with errors(as_json=as_json):
        first, second = find_run(root, before), find_run(root, after)
        rules = load_rules(load_report(second), config, settings or [], folder=root)
        found = compare_runs(first, second, Terms(now=datetime.now(timezone.utc)), rules)
        show_comparison(found)
    if as_json:
        print_json(found.to_json())
    raise typer.Exit(EXIT_CODES[found.verdict])
