"""`pipeline pull`: the engine of a release that fits this device, verified, put in place."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import Json, errors, interruptible, print_json, say
from pipeline.cli.registry import Ca, PlainHttp, Trust, access_of, environment_of

if TYPE_CHECKING:
    from targets.registry.access import Access
    from targets.release.pull import Order
    from targets.trust.policy import Policy

Release = Annotated[
    str | None,
    typer.Argument(help="host/name:tag, oci:folder:tag or oci-archive:file.tar:tag.", metavar="REF"),
]
For = Annotated[
    str, typer.Option("--for", help="Target, as orin@6.2; auto: the engine that runs on this device.")
]
Folder = Annotated[
    Path, typer.Option("--output", "-o", file_okay=False, help="Folder; `current` in it is what is used.")
]
Channel = Annotated[str, typer.Option(help="That it must be of. Default: the tag, else the last pull's.")]
Older = Annotated[bool, typer.Option("--allow-older", help="Take one that is older than what was here.")]
Previous = Annotated[bool, typer.Option("--previous", help="Switch back to the release before; no REF.")]


def pull(  # noqa: PLR0913
    context: typer.Context,
    reference: Release = None,
    *,
    folder: Folder,
    target: For = "auto",
    trust: Trust = None,
    channel: Channel = "",
    allow_older: Older = False,
    previous: Previous = False,
    ca: Ca = None,
    plain_http: PlainHttp = None,
    as_json: Json = False,
) -> None:
    """Pull the engine that fits this device, and switch to it once it is verified.

    Signature, policy, channel, age and digests are looked at before anything is put in place. An interrupted
    pull goes on where it was; one that has nothing to do does nothing. What was used before is kept.

    Examples:
    - `pipeline pull registry.example/team/steel:stable -o /opt/steel`
    - `pipeline pull oci:/media/stick/steel:stable -o /opt/steel --trust steel.trust.json`
    - `pipeline pull registry.example/team/steel:stable --for orin@6.2 -o for-orin`
    - `pipeline pull --previous -o /opt/steel`
    """
    from targets.errors import UsageError
    from targets.release.check import needed
    from targets.trust.policy import find_policy

    with errors(as_json=as_json), interruptible():
        if previous == bool(reference):
            raise UsageError("Name a release, or --previous; one of the two.", hint="See --help.")
        environment = environment_of(context)
        policy = needed(find_policy(trust, environment))
        if not reference:
            _go_back(folder, policy, as_json=as_json)
            return
        order = _order(reference, folder, policy, access_of(environment, ca, plain_http))
        _pull(replace(order, target=target, channel=channel, allow_older=allow_older), as_json=as_json)


def _order(reference: str, folder: Path, policy: Policy, access: Access) -> Order:
    from targets.registry.reference import parse_reference
    from targets.release.pull import Order

    now = datetime.now(timezone.utc)
    return Order(parse_reference(reference), folder, policy, access, now, said=say)


def _pull(order: Order, *, as_json: bool) -> None:
    from pipeline.progress import display, transfers
    from targets.release.pull import pull
    from targets.told import describe, summarize

    with display() as shown:
        pulled = pull(replace(order, transfer=transfers(shown)))
    say(describe(pulled))
    if as_json:
        print_json(json.dumps(summarize(pulled)))


def _go_back(folder: Path, policy: Policy, *, as_json: bool) -> None:
    from targets.release.pull import go_back
    from targets.told import name

    facts = go_back(folder, policy)
    say(f"Back to {name(facts)}. The next pull of its channel takes the newest again.")
    if as_json:
        print_json(json.dumps({"schema": 1, "facts": asdict(facts)}))
