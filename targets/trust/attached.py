"""Attached: the signatures that refer to an artifact, held against its files before one is fetched."""

from datetime import datetime
from itertools import islice
from typing import Iterator, List, Mapping, NamedTuple

from targets.errors import DigestError, NotFoundError, TrustError
from targets.registry.artifact import files_of
from targets.registry.content import EMPTY, EMPTY_TYPE, Descriptor, Manifest, describe, parse_manifest
from targets.registry.repository import Source
from targets.trust.bundle import BUNDLE_TYPE, MAX_BUNDLE, Signed
from targets.trust.policy import Policy

MOST = 32
"""Signatures of one artifact that are looked at; whoever may push could add more, and each takes time."""


class Attached(NamedTuple):
    """An artifact whose signature holds.

    Attributes:
        manifest: It.
        signed: What the signature says of its files.
        bundle: The signature.
    """

    manifest: Manifest
    signed: Signed
    bundle: bytes


def read_signed(
    source: Source, artifact: Descriptor, policy: Policy, channel: str, now: datetime
) -> Attached:
    """Read an artifact's manifest, and see that somebody trusted for a channel signed just its files.

    Names and digests of the files are signed; annotations are not. Its config must be the empty one: nobody
    signs that either.

    Args:
        source: Where it is.
        artifact: Its manifest.
        policy: Whom to trust.
        channel: That it has to be for; see to it that a signed file says so too.
        now: With its time zone.

    Raises:
        TrustError: It is not so; with the reason for each signature.
        RegistryError: It cannot be read.
    """
    policy.keys_for(channel)
    found, content = source.read_manifest(artifact.digest)
    manifest = parse_manifest(content, found.media_type)
    _refuse_unsigned(manifest, artifact.digest)
    files = {name: blob.hex for name, blob in files_of(manifest).items()}
    reasons: List[str] = []
    hint = "Ask who released it to sign it, or name another release."
    for unread in islice(_bundles(source, artifact.digest), MOST):
        try:
            bundle = _read(source, unread)
            signed = policy.check([bundle], channel, now)
        except TrustError as exc:
            reasons.append(exc.what.rstrip("."))
            hint = exc.hint
            continue
        if dict(signed.files) == files:
            return Attached(manifest, signed, bundle)
        reasons.append(_difference(signed, files))
    why = "; ".join(reasons[:5]) or "there is no signature"
    raise TrustError(f"{artifact.digest} is not signed for channel {channel!r}: {why}.", hint=hint)


def _bundles(source: Source, digest: str) -> Iterator[Descriptor]:
    """Give the signatures that refer to an artifact, unread."""
    for referrer, content in source.referrers(digest):
        if referrer.artifact_type == BUNDLE_TYPE:
            yield from parse_manifest(content, referrer.media_type).layers[:1]


def _read(source: Source, bundle: Descriptor) -> bytes:
    if bundle.size > MAX_BUNDLE:
        raise TrustError(f"A signature has more than {MAX_BUNDLE >> 20} MiB.", hint="Who attached it?")
    try:
        return source.read_blob(bundle)
    except (NotFoundError, DigestError) as exc:
        raise TrustError(f"A signature is damaged. {exc.what}", hint=exc.hint) from exc


def _refuse_unsigned(manifest: Manifest, digest: str) -> None:
    """Refuse what a signature does not speak of: another config than the empty one, and an index."""
    config = manifest.config
    if config is None or config.digest != describe(EMPTY, EMPTY_TYPE).digest:
        raise TrustError(
            f"{digest} has parts that no signature speaks of: it is an index, or has a config.",
            hint="It is none of ours, or was changed. Ask who released it.",
        )


def _difference(signed: Signed, files: Mapping[str, str]) -> str:
    """Say how the files that are there differ from those that are signed."""
    added = sorted(set(files) - set(signed.files))
    missing = sorted(set(signed.files) - set(files))
    changed = sorted(name for name in set(files) & set(signed.files) if files[name] != signed.files[name])
    parts = (("added", added), ("removed", missing), ("changed", changed))
    said = ", ".join(f"{what} {', '.join(names[:3])}" for what, names in parts if names)
    return f"key {signed.key_id[:16]}… signed other files ({said})"
