"""`pipeline key`: keys that releases are signed with, and the policies that trust them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import Json, errors, print_json, say
from pipeline.cli.registry import environment_of

if TYPE_CHECKING:
    from targets.trust.policy import Policy

key_app = typer.Typer(help="Keys that releases are signed with, and who trusts them.", no_args_is_help=True)

PolicyFile = Annotated[Path, typer.Option("--policy", dir_okay=False, help="Trust policy file.")]
PublicFile = Annotated[Path, typer.Argument(dir_okay=False, help="Public key, as NAME.pub.pem.")]
Name = Annotated[str, typer.Option(help="Of the key, for people.")]
DEFAULT_POLICY = Path("trust.json")


@key_app.command()
def new(
    context: typer.Context,
    *,
    out: Annotated[Path, typer.Option("--out", "-o", file_okay=False, help="Folder to write to.")] = Path(),
    name: Annotated[str, typer.Option(help="Of the two files.")] = "release",
    as_json: Json = False,
) -> None:
    """Make a key: NAME.key.pem, which only you may read, and NAME.pub.pem. Nothing is overwritten.

    With EDGEBOUND_KEY_PASSWORD in the environment the private key is encrypted.

    Examples:
    - `pipeline key new`
    - `EDGEBOUND_KEY_PASSWORD=… pipeline key new --out keys --name release-2027`
    """
    from dataclasses import asdict

    from pipeline.signing.find import PASSWORD_VARIABLE
    from pipeline.signing.keys import new_key
    from pipeline.signing.policies import NewKey

    with errors(as_json=as_json):
        password = environment_of(context).get(PASSWORD_VARIABLE, "")
        files = new_key(out, name, password)
    entry = asdict(NewKey(files.key, name).entry())
    say(f"Key {files.key.id}")
    say(
        f"Wrote {files.private} ({'encrypted' if password else 'not encrypted'}; keep it) and {files.public}."
    )
    say(f"Its line in a trust policy: {json.dumps(entry)}")
    say(f"Or: pipeline key trust {files.public} --channel stable")
    if as_json:
        print_json(json.dumps(dict(entry, private=str(files.private), public=str(files.public))))


@key_app.command()
def trust(  # noqa: PLR0913
    key: PublicFile,
    *,
    channel: Annotated[
        list[str] | None,
        typer.Option(help="That it may sign for; * for those without keys of their own. Default: stable."),
    ] = None,
    policy: PolicyFile = DEFAULT_POLICY,
    name: Name = "",
    since: Annotated[str, typer.Option("--from", help="Date from which it is believed.")] = "",
    until: Annotated[str, typer.Option(help="Date from which nothing that it signed is believed.")] = "",
    as_json: Json = False,
) -> None:
    """Trust a key: add it to a policy file, which is made if it is not there.

    Devices look for the policy at --trust, $EDGEBOUND_TRUST, ~/.config/edgebound/trust.json and
    /etc/edgebound/trust.json. Compare the key's id with whoever gave it to you.

    Examples:
    - `pipeline key trust release.pub.pem`
    - `pipeline key trust ci.pub.pem --channel cache --channel beta --policy /etc/edgebound/trust.json`
    """
    from pipeline.signing.keys import load_public
    from pipeline.signing.policies import NewKey
    from pipeline.signing.policies import trust as trust_key

    with errors(as_json=as_json):
        added = NewKey(load_public(key), name or key.name.split(".")[0], since, until)
        changed = trust_key(policy, added, channel or ["stable"])
    _tell(policy, changed, as_json=as_json)


@key_app.command()
def rotate(
    key: PublicFile,
    *,
    old: Annotated[str, typer.Option("--old", help="Key that it replaces: id, how that begins, or name.")],
    policy: PolicyFile = DEFAULT_POLICY,
    name: Name = "",
    until: Annotated[
        str, typer.Option(help="Date from which the old key is not believed. Default: in 90 days.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Put a new key beside an old one, which is believed for a while: time to sign and fetch releases again.

    Examples:
    - `pipeline key rotate release-2027.pub.pem --old release --until 2027-03-31`
    - `pipeline key rotate new.pub.pem --old 3f9ac1d2 --policy /etc/edgebound/trust.json`
    """
    from pipeline.signing.keys import load_public
    from pipeline.signing.policies import NewKey
    from pipeline.signing.policies import rotate as rotate_key

    end = until or (datetime.now(timezone.utc) + timedelta(days=90)).date().isoformat()
    with errors(as_json=as_json):
        added = NewKey(load_public(key), name or key.name.split(".")[0])
        changed = rotate_key(policy, old, added, end)
    _tell(policy, changed, as_json=as_json)


@key_app.command()
def distrust(
    key: Annotated[str, typer.Argument(help="Key: id, how that begins, or name.")],
    *,
    policy: PolicyFile = DEFAULT_POLICY,
    as_json: Json = False,
) -> None:
    """Take a key out of a policy file at once, as when it was stolen. What it signed is believed no more.

    Example:
    - `pipeline key distrust release --policy /etc/edgebound/trust.json`
    """
    from pipeline.signing.policies import distrust as distrust_key

    with errors(as_json=as_json):
        changed = distrust_key(policy, key)
    _tell(policy, changed, as_json=as_json)


def _tell(path: Path, policy: Policy, *, as_json: bool) -> None:
    from targets.trust.policy import dump_policy

    say(f"Wrote {path}.")
    for one in policy.keys:
        channels = ", ".join(sorted(name for name, ids in policy.channels.items() if one.id in ids))
        dates = f"from {one.valid_from or 'ever'} until {one.valid_until or 'for ever'}"
        say(f"  {one.id[:16]}  {one.name or '(no name)'}: {channels or 'no channel'}; {dates}")
    if as_json:
        print_json(json.dumps(json.loads(dump_policy(policy))))
