"""`pipeline release`: sign a run's engines and put them into a registry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import HERE, Json, Root, Set, errors, interruptible, print_json, say
from pipeline.cli.registry import Ca, PlainHttp, access_of, environment_of

if TYPE_CHECKING:
    from pipeline.release.ask import Asked
    from pipeline.release.conduct import Released
    from pipeline.signing import KeySource
    from targets.registry.access import Access

DEFAULT_PLACE = ".edgebound/releases"
To = Annotated[
    str | None,
    typer.Option(
        "--to", help=f"Repository: host/name, or oci:folder. Default: {DEFAULT_PLACE} of the project."
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--override", help="RULE=WHY: answer for a rule that the gate did not find kept. Repeatable."
    ),
]
Expires = Annotated[
    str | None, typer.Option("--expires", help="Date from which devices refuse it: 2027-06-30.")
]
Key = Annotated[
    Path | None,
    typer.Option("--key", dir_okay=False, help="Private key (PEM); default: $EDGEBOUND_SIGNING_KEY."),
]
SignCmd = Annotated[
    str | None,
    typer.Option("--sign-cmd", help="Command that signs: message on stdin, DER signature on stdout."),
]
PublicKey = Annotated[
    Path | None, typer.Option("--public-key", dir_okay=False, help="Public key (PEM) of --sign-cmd.")
]


def release(  # noqa: PLR0913
    context: typer.Context,
    run: Annotated[str, typer.Argument(help="Run id, its folder or report.json.")],
    *,
    to: To = None,
    channel: Annotated[str, typer.Option(help="Whose tag is moved to this release.")] = "stable",
    expires: Expires = None,
    overrides: Overrides = None,
    key: Key = None,
    sign_cmd: SignCmd = None,
    public_key: PublicKey = None,
    again: Annotated[bool, typer.Option("--again", help="Even if the channel has this run already.")] = False,
    settings: Set = None,
    ca: Ca = None,
    plain_http: PlainHttp = None,
    root: Root = HERE,
    as_json: Json = False,
) -> None:
    """Release a run: its engines, their evidence and documents, signed, as one OCI artifact.

    The run is judged again: a demo and simulated receipts are never released, and what else the gate does not
    pass has to be overruled by name. --set takes `release.…`, and what `pipeline gate` takes.

    Examples:
    - `pipeline release 20260504-093012-7f3a --key release.pem`
    - `pipeline release 20260504-093012-7f3a --to registry.example/team/steel --expires 2027-06-30`
    - `pipeline release last/ --override 'classes without a box=no dents in the first plant'`
    """
    from pipeline.release.ask import Asked, find_reference
    from pipeline.release.tell import document, tell
    from pipeline.signing import KeySource

    environment = environment_of(context)
    with errors(as_json=as_json), interruptible():
        asked = Asked(
            run=run,
            root=root,
            reference=find_reference(to or f"oci:{root / DEFAULT_PLACE}"),
            channel=channel,
            expires=expires or "",
            overrides=overrides or (),
            settings=settings or (),
            again=again,
        )
        source = KeySource(key, sign_cmd or "", public_key, environment)
        done = _release(asked, source, access_of(environment, ca, plain_http))
    for line in tell(done, asked.reference):
        say(line)
    if as_json:
        print_json(document(done, asked.reference))


def _release(asked: Asked, source: KeySource, access: Access) -> Released:
    """Judge first: nobody needs a key to hear a no."""
    from pipeline.progress import display, transfers
    from pipeline.release.ask import find_order
    from pipeline.release.conduct import judge
    from pipeline.release.conduct import release as put
    from pipeline.release.publish import open_shelf
    from pipeline.signing import find_signer

    order = find_order(asked)
    judged = judge(order)
    with open_shelf(asked.reference, access, find_signer(source), asked.channel) as shelf, display() as shown:
        return put(order, judged, replace(shelf, transfer=transfers(shown)))
