"""Options of the commands that talk to registries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.fetched import Ways
    from targets.registry.access import Access

Ca = Annotated[
    Path | None,
    typer.Option(
        "--ca", exists=True, dir_okay=False, help="Certificates (PEM) to trust beside the system's."
    ),
]
PlainHttp = Annotated[
    list[str] | None,
    typer.Option("--plain-http", help="Host[:port] that may be spoken to without TLS. Repeatable."),
]
Trust = Annotated[
    Path | None,
    typer.Option(
        "--trust",
        exists=True,
        dir_okay=False,
        help="Trust policy; default: $EDGEBOUND_TRUST, ~/.config/edgebound or /etc/edgebound.",
    ),
]


def environment_of(context: typer.Context) -> Mapping[str, str]:
    """Give the environment that `main` passed on; in tests, the one that they give."""
    return dict(context.obj or {})


def access_of(environment: Mapping[str, str], ca: Path | None, plain_http: Sequence[str] | None) -> Access:
    """Give how to reach registries."""
    from targets.registry.access import Access

    return Access(environment=environment, ca=ca, plain_http=tuple(plain_http or ()))


def ways_of(
    context: typer.Context, trust: Path | None, ca: Path | None, plain_http: Sequence[str] | None
) -> Ways:
    """Give how to get at a release, and whom to believe."""
    from pipeline.fetched import Ways
    from targets.trust.policy import find_policy

    environment = environment_of(context)
    return Ways(access=access_of(environment, ca, plain_http), policy=find_policy(trust, environment))
