"""Referrers: what was said about an artifact afterwards, where a registry does not list it by itself.

Most don't (distribution 2.8 and 3, GHCR). OCI distribution-spec v1.1, "Referrers Tag Schema": then it is an
index with a tag that is made of the subject's digest. And some of those collect manifests without a tag of
their own, which a signature then has to have.
"""

from typing import Iterator, List, Tuple

from targets.errors import NotFoundError, RegistryError
from targets.registry.content import INDEX_TYPE, Descriptor, Manifest, parse_manifest
from targets.registry.repository import Repository, Source

MOST = 1000
"""Referrers of one artifact that are looked at; whoever may push could add more without end."""
_ROUNDS = 5


def list_tag(subject: str) -> str:
    """Give the tag of the list of what refers to a digest."""
    return subject.replace(":", "-")


def own_tag(other: str, manifest: Descriptor) -> str:
    """Give a tag that keeps a manifest that belongs to another: what refers to it, or is a child of it."""
    return f"{list_tag(other)}.{manifest.hex[:16]}"


def listed(source: Source, subject: str) -> Tuple[Descriptor, ...]:
    """Give what the list by tag says refers to a digest."""
    try:
        found, content = source.read_manifest(list_tag(subject))
    except NotFoundError:
        return ()
    return parse_manifest(content, found.media_type).manifests


def enlist(repository: Repository, subject: str, referrer: Descriptor) -> None:
    """Add a referrer to the list by tag.

    Another program may write the list between our reading and writing it, and registries know no locks: so it
    is looked at again afterwards.

    Raises:
        RegistryError: Others are at it all the time.
    """
    for _ in range(_ROUNDS):
        others = [one for one in listed(repository, subject) if one.digest != referrer.digest]
        index = Manifest(INDEX_TYPE, manifests=(*others, referrer))
        repository.write_manifest(index.encode(), INDEX_TYPE, list_tag(subject))
        if referrer.digest in {one.digest for one in listed(repository, subject)}:
            return
    raise RegistryError(
        f"Others keep changing the list of what refers to {subject}.", hint="Run the same command again."
    )


def read(
    source: Source, subject: str, candidates: "List[Descriptor]"
) -> "Iterator[Tuple[Descriptor, bytes]]":
    """Give the manifests that do refer to a digest; lists are not taken at their word.

    Raises:
        RegistryError: There are too many.
    """
    unique = {one.digest: one for one in candidates}
    if len(unique) > MOST:
        raise RegistryError(
            f"{subject} has {len(unique)} referrers; {MOST} are looked at.", hint="Delete those nobody needs."
        )
    for digest in unique:
        try:
            found, content = source.read_manifest(digest)
            manifest = parse_manifest(content, found.media_type)
        except NotFoundError:  # collected by the registry
            continue
        if manifest.subject and manifest.subject.digest == subject:
            yield stated(found, manifest), content


def stated(found: Descriptor, manifest: Manifest) -> Descriptor:
    """Describe a manifest in its own words."""
    return Descriptor(
        found.media_type, found.digest, found.size, manifest.annotations, manifest.artifact_type
    )
