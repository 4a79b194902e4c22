"""`pipeline verify`: whether a release on this device is what was signed, and does what it was judged by."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import Json, errors, interruptible, print_json, say
from pipeline.cli.registry import Trust, environment_of

Seconds = Annotated[float, typer.Option(min=0.1, max=600.0, help="Time for the latency.")]


def verify(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Argument(help="Folder that was pulled to, or a release in it.", metavar="DIR")
    ],
    *,
    trust: Trust = None,
    seconds: Seconds = 5.0,
    as_json: Json = False,
) -> None:
    """Verify a release on this device: signature, files, outputs, latency.

    Needs no network. The pictures that the release ships are looked at, and what is found is held against
    what was found where the engine was judged; then the latency against what was measured there.
    Exit codes: 0 all hold · 1 signature or files do not · 3 outputs or latency do not · 4 one cannot be told.

    Examples:
    - `pipeline verify /opt/steel`
    - `pipeline verify /opt/steel --json | jq -r .verdict`
    """
    from targets.prove import CODES, Audit, prove, timed, worst
    from targets.release.check import needed
    from targets.told import describe_check, summarize_checks
    from targets.trust.policy import find_policy

    with errors(as_json=as_json), interruptible():
        policy = needed(find_policy(trust, environment_of(context)))
        audit = Audit(folder, policy, datetime.now(timezone.utc), timed(seconds))
        checks = prove(audit, lambda check: say(describe_check(check)))
    if as_json:
        print_json(json.dumps(summarize_checks(checks)))
    raise typer.Exit(CODES[worst(checks)])
