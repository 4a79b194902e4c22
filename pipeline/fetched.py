"""A baseline from a registry: the documents of a release, fetched, believed if signed, laid out as a run."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from pipeline.baseline import EVIDENCE
from pipeline.files import explained
from pipeline.report.load import load_report
from pipeline.runs import find_run
from targets.errors import EdgeboundError, RegistryError, TrustError, UsageError
from targets.registry import open_source
from targets.registry.access import Access
from targets.registry.artifact import fetch, find
from targets.registry.content import Descriptor
from targets.registry.reference import Reference, parse_reference
from targets.registry.repository import Source
from targets.release.facts import (
    DOCUMENTS_TYPE,
    FILE_NAME,
    RELEASE_TYPE,
    ReleaseFacts,
    chosen_by,
    is_engine,
    load,
)
from targets.release.names import evidence_name
from targets.trust.attached import read_signed
from targets.trust.policy import Policy, load_policy

PLACE = "baselines"
"""Folder of `.edgebound` where baselines lie that came from a registry, by the digest of their documents."""
_HINT = "Name a release: host/name:stable, or oci:folder:stable."


@dataclass(frozen=True, kw_only=True)
class Ways:
    """How to get at a release, and whom to believe.

    Attributes:
        access: To registries.
        policy: File of the trust policy; None where there is none.
    """

    access: Access
    policy: Path | None


def local_baseline(folder: Path, name: str, ways: Ways) -> str:
    """Give an earlier run as `load_baseline` takes it; what is in a registry is fetched first.

    Args:
        folder: Of the project.
        name: Run id, its folder, its report.json; or a reference to a release.
        ways: How to get that.

    Raises:
        UsageError: It is neither.
        TrustError: Nobody trusted signed the release, or there is no trust policy.
        RegistryError: It cannot be fetched.
    """
    reference = _reference(folder, name)
    if reference is None:
        return name
    if ways.policy is None:
        raise TrustError(
            f"{reference} cannot be the baseline: there is no trust policy, so nobody's signature counts.",
            hint="`pipeline key trust KEY.pub.pem` makes one; name it by --trust or $EDGEBOUND_TRUST.",
        )
    with open_source(reference, ways.access) as source:
        return str(_fetch(source, reference, load_policy(ways.policy), folder / ".edgebound" / PLACE))


def _reference(folder: Path, name: str) -> Reference | None:
    """Give the reference that is meant; None if it is a run, or nothing that could be a reference."""
    try:
        find_run(folder, name)
    except UsageError:
        try:
            return parse_reference(name)
        except UsageError:
            if name.startswith(("oci:", "oci-archive:")):
                raise
    return None


def _fetch(source: Source, reference: Reference, policy: Policy, place: Path) -> Path:
    documents = _documents(source, reference)
    claimed = chosen_by(documents.annotations)
    if reference.tag not in ("", claimed.channel, claimed.run):  # the tags that a release gets
        raise TrustError(
            f"{reference} is a release for channel '{claimed.channel}', of run {claimed.run}.",
            hint="Somebody moved the tag: release again for this channel, or name the release by its digest.",
        )
    signed = read_signed(source, documents, policy, claimed.channel, datetime.now(timezone.utc))
    if signed.manifest.artifact_type != DOCUMENTS_TYPE:
        raise RegistryError(f"{reference} is no release with documents.", hint=_HINT)
    pulled = place / documents.hex / "pulled"
    fetch(source, signed.manifest, pulled)
    facts = load((pulled / FILE_NAME).read_text(encoding="utf-8"), pulled / FILE_NAME)
    if facts != claimed:
        raise TrustError(
            f"What {reference} says of itself is not what was signed.",
            hint="Somebody changed its index: release again, or name it by its digest.",
        )
    return _lay_out(pulled, facts)


def _documents(source: Source, reference: Reference) -> Descriptor:
    """Find the documents of a release."""
    _, index = find(source, reference.target)
    found = [one for one in index.manifests if not is_engine(one.annotations)]
    if index.artifact_type != RELEASE_TYPE or len(found) != 1:
        raise RegistryError(f"{reference} is no release with documents.", hint=_HINT)
    return found[0]


def _lay_out(pulled: Path, facts: ReleaseFacts) -> Path:
    """Lay the documents out as the folder of a run, whose targets may have names that no registry takes."""
    report = load_report(pulled / "report.json")
    if report.run != facts.run:
        raise EdgeboundError(f"{pulled} has the report of another run, {report.run}.", hint=_HINT)
    folder = pulled.with_name("run")
    with explained(folder):
        shutil.rmtree(folder, ignore_errors=True)
        (folder / EVIDENCE).mkdir(parents=True)
        shutil.copyfile(pulled / "report.json", folder / "report.json")
        names = {"index": "index", **{evidence_name(name): name for name in report.targets}}
        for there, here in names.items():
            if (pulled / EVIDENCE / there).is_dir():
                shutil.copytree(pulled / EVIDENCE / there, folder / EVIDENCE / here)
    return folder
