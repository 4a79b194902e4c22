"""What a person asks for, checked as far as that goes before anything is read or written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from pipeline.config import FILE_NAME
from pipeline.release.conduct import Order
from pipeline.release.dates import read_expiry
from pipeline.release.overrule import read_overrides
from pipeline.report.load import load_report
from pipeline.runs import find_run
from pipeline.sections import ReleaseSection
from pipeline.yaml_file import Source, load_source, override, parse
from targets.errors import UsageError
from targets.registry.reference import Reference, is_tag, parse_reference

_HINT = "`release:` takes name, license and pictures."


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A command line.

    Attributes:
        run: Run id, its folder or report.json.
        root: Of the project.
        reference: Where to.
        channel: Whose tag is moved.
        expires: Date, or empty.
        overrides: `RULE=WHY`.
        settings: `section.key=value`.
        again: Release what the channel has already.
    """

    run: str
    root: Path
    reference: Reference
    channel: str
    expires: str
    overrides: Sequence[str]
    settings: Sequence[str]
    again: bool


@dataclass(frozen=True, kw_only=True)
class _Sections:
    release: ReleaseSection


def find_order(asked: Asked) -> Order:
    """Turn a command line into an order.

    Raises:
        UsageError: There is no such run, or an option says what cannot be.
        ConfigError: The section `release` is wrong.
    """
    if not is_tag(asked.channel) or asked.channel.startswith(("sha256-", "_", ".")):
        raise UsageError(
            f"--channel {asked.channel!r} cannot be a tag.", hint="Letters, digits, '.', '_' and '-': stable."
        )
    now = datetime.now(timezone.utc)
    folder = find_run(asked.root, asked.run)
    ours = [one for one in asked.settings if one.partition(".")[0].strip() == "release"]
    return Order(
        root=asked.root,
        folder=folder,
        reference=asked.reference,
        channel=asked.channel,
        overrides=read_overrides(asked.overrides),
        settings=tuple(one for one in asked.settings if one not in ours),
        expires=read_expiry(asked.expires, now) if asked.expires else "",
        section=_find_section(asked.root, folder, ours),
        again=asked.again,
        now=now,
    )


def find_reference(to: str) -> Reference:
    """Read where a release goes.

    Raises:
        UsageError: It is no reference, an archive, or names a tag: which ones it gets is decided here.
    """
    reference = parse_reference(to)
    if reference.kind == "archive":
        raise UsageError(
            f"{to} can only be read.",
            hint="Release to a folder, oci:folder, and pack that: tar -C folder -cf …",
        )
    if reference.tag or reference.digest:
        raise UsageError(
            f"--to {to} names a tag or a digest; a release gets the tags of its run and of its channel.",
            hint=f"Name the repository, and the channel by --channel: --to {reference.at()}",
        )
    return reference


def _find_section(root: Path, folder: Path, settings: Sequence[str]) -> ReleaseSection:
    """Give `release:` as `pipeline.yaml` has it now; without that file, as it was when the run was made."""
    if (root / FILE_NAME).exists():
        whole = load_source(root / FILE_NAME)
    else:
        whole = Source(dict(load_report(folder).settings), {}, f"report of {folder.name}")
    given = whole.values.get("release") or {}
    if not isinstance(given, dict):
        given = {"release": given}
    inner = whole.within(("release",), given)
    places = {("release", *path): place for path, place in inner.places.items()}
    source = override(Source({"release": given}, places, inner.name), settings)
    return parse(_Sections, source, hint=_HINT).release
