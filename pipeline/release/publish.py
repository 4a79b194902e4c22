"""Publish: push each engine, sign it, read it back as a device would, and only then move the tags."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from pipeline.signing import Signer, attach, sign_files
from targets.errors import NotFoundError, RegistryError
from targets.folder import file_names
from targets.registry import open_repository
from targets.registry.access import Access
from targets.registry.artifact import Package, files_of, find, push, push_index
from targets.registry.content import INDEX_TYPE, Descriptor, Manifest
from targets.registry.disk import explained
from targets.registry.reference import Reference
from targets.registry.repository import Repository, Transfer, unseen
from targets.release.facts import (
    DOCUMENTS_TYPE,
    ENGINE_TYPE,
    RELEASE_TYPE,
    ReleaseFacts,
    chosen_by,
)
from targets.release.facts import annotations as annotations_of
from targets.trust.attached import read_signed
from targets.trust.policy import ANY, Policy, TrustedKey

_LEAD = timedelta(days=400)
"""Sequences are seconds of UTC, or one more than the last; one far ahead of the clock is not ours."""
_MEDIA_TYPES = {
    "release.json": "application/json",
    "report.json": "application/json",
    "report.html": "text/html",
    "summary.md": "text/markdown",
    "MODEL_CARD.md": "text/markdown",
    "LICENSE": "text/plain",
    "sbom.cdx.json": "application/vnd.cyclonedx+json",
    "provenance.json": "application/vnd.in-toto+json",
}


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """A repository that releases are put into, by whom, and how it is known that they arrived.

    Attributes:
        repository: Opened.
        signer: Signs every manifest.
        policy: That trusts this signer and nobody else.
        channel: Whose tag is moved.
        transfer: Told of what is pushed, and how it goes on.
    """

    repository: Repository
    signer: Signer
    policy: Policy
    channel: str
    transfer: Transfer = unseen

    def put(self, folder: Path, facts: ReleaseFacts) -> Descriptor:
        """Push a folder as one manifest with its signature, and read it back.

        Raises:
            TrustError: What can be read is not what was signed here.
            RegistryError: It cannot be written, or read.
        """
        kind = ENGINE_TYPE if facts.target else DOCUMENTS_TYPE
        said = annotations_of(facts)
        package = Package(
            artifact_type=kind,
            files={name: folder / name for name in sorted(file_names(folder))},
            media_types=_MEDIA_TYPES,
            annotations=said,
        )
        with explained(folder):
            size = sum(path.stat().st_size for path in package.files.values())
        moved = self.transfer(f"push {facts.target or 'documents'}", size)
        pushed = push(self.repository, package, moved=moved)
        _, manifest = find(self.repository, pushed.digest)
        digests = {name: blob.hex for name, blob in files_of(manifest).items()}
        title = "/".join(part for part in (facts.name, facts.target or "documents") if part)
        attach(self.repository, pushed, sign_files(title, digests, self.signer))
        descriptor = Descriptor(pushed.media_type, pushed.digest, pushed.size, said)  # no type: `is_engine`
        read_signed(self.repository, descriptor, self.policy, self.channel, datetime.now(timezone.utc))
        return descriptor

    def tag(self, children: Sequence[Descriptor], version: str) -> Descriptor:
        """Write the index, by the tag of this version first, and by the channel's last."""
        index = Manifest(INDEX_TYPE, artifact_type=RELEASE_TYPE, manifests=tuple(children))
        push_index(self.repository, index, version)
        return push_index(self.repository, index, self.channel)


@contextmanager
def open_shelf(reference: Reference, access: Access, signer: Signer, channel: str) -> Iterator[Shelf]:
    """Open a repository to release to."""
    with open_repository(reference, access) as repository:
        yield Shelf(repository=repository, signer=signer, policy=policy_of(signer), channel=channel)


def policy_of(signer: Signer) -> Policy:
    """Give the policy that trusts one signer, for all channels."""
    key = TrustedKey(id=signer.key_id, pem=signer.public.pem)
    return Policy(keys=(key,), channels={ANY: (key.id,)})


def last_release(
    repository: Repository, channel: str
) -> tuple[Descriptor, Mapping[str, ReleaseFacts]] | None:
    """Give what a channel has now: the index, and the facts of its manifests by digest; None if nothing.

    Raises:
        RegistryError: Something else has the tag of the channel.
    """
    try:
        found, index = find(repository, channel)
    except NotFoundError:
        return None
    if index.artifact_type != RELEASE_TYPE:
        raise RegistryError(
            f"The tag '{channel}' leads to {index.artifact_type or 'something else'}, not to a release.",
            hint="Name another repository with --to, or another --channel.",
        )
    return found, {child.digest: chosen_by(child.annotations) for child in index.manifests}


def next_sequence(before: Mapping[str, ReleaseFacts], now: datetime) -> int:
    """Give a sequence higher than all before, without asking anybody: the time in seconds, or one more.

    Raises:
        RegistryError: The last one is far ahead: a clock is wrong, or somebody else wrote it.
    """
    last = max((facts.sequence for facts in before.values()), default=0)
    if last > (now + _LEAD).timestamp():
        raise RegistryError(
            f"The channel's last release has sequence {last}, far ahead of the clock here, {now:%Y-%m-%d}.",
            hint="Is the clock right? Else find out who wrote it; name another --channel, or delete its tag.",
        )
    return max(int(now.timestamp()), last + 1)
