"""Check: a release on disk against its signature, without a network."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Mapping, Optional, Tuple

from targets.engine import FILE_NAME as ENGINE_MANIFEST
from targets.errors import ModelError, RegistryError, TrustError
from targets.folder import EngineFile, check_files, describe_file
from targets.registry.artifact import files_of
from targets.registry.content import MANIFEST_TYPE, MAX_MANIFEST, Descriptor, Manifest, parse_manifest
from targets.release.facts import FILE_NAME as FACTS
from targets.release.facts import ReleaseFacts, load
from targets.release.place import ENGINE, SIGNATURE
from targets.trust.bundle import MAX_BUNDLE, Signed, verify_bundle
from targets.trust.policy import Policy, find_policy, load_policy

MANIFEST = "manifest.json"
MAX_FACTS = 1 << 20  # bytes
_PULL = "Pull it again."


@dataclass(frozen=True)
class Release:
    """A release on disk whose signature holds.

    Attributes:
        folder: Where it is.
        facts: That it states of itself.
        manifest: As it was in the registry.
        signed: What the signature says.
    """

    folder: Path
    facts: ReleaseFacts
    manifest: Manifest
    signed: Signed


def admit_release(folder: Path, trust: Optional[Path], *, allow_unsigned: bool) -> None:
    """See that somebody who is trusted signed a release, and its engine's manifest with it.

    Args:
        folder: Of the release.
        trust: Policy; None: the user's or the machine's.
        allow_unsigned: Take it where there is no policy.

    Raises:
        TrustError: Nobody did.
    """
    path = find_policy(trust, {"HOME": str(Path.home())})
    if path is None and allow_unsigned:
        return
    release = check_signature(folder, needed(path), None)
    name = f"{ENGINE}/{ENGINE_MANIFEST}"
    there = folder / name
    _refuse(not there.is_file() or describe_file(there).sha256 != release.signed.files.get(name), there)


def needed(path: Optional[Path]) -> Policy:
    """Read the policy of this machine.

    Raises:
        TrustError: There is none.
    """
    if path is None:
        raise TrustError(
            "This machine has no trust policy, so it trusts nobody.",
            hint="`pipeline key trust KEY.pub.pem` makes one; or name one with --trust.",
        )
    return load_policy(path)


def check_signature(folder: Path, policy: Policy, now: Optional[datetime]) -> Release:
    """Verify the signature of a release on disk without a network; of its files `release.json` alone is read.

    Args:
        folder: Of the release.
        policy: Whom to trust.
        now: When keys have to be valid; None: whenever.

    Raises:
        TrustError: It does not hold.
        ModelError: The release cannot be read.
    """
    manifest, files = _read_manifest(folder / MANIFEST)
    bundle = _read(folder / SIGNATURE, MAX_BUNDLE)
    text = _read(folder / FACTS, MAX_FACTS)
    facts = load(text.decode("utf-8", "replace"), folder / FACTS)
    if now is None:
        signed = verify_bundle(bundle, [key.public for key in policy.keys_for(facts.channel)])
    else:
        signed = policy.check([bundle], facts.channel, now)
    _refuse(dict(signed.files) != {name: blob.hex for name, blob in files.items()}, folder / MANIFEST)
    _refuse(describe_file(folder / FACTS).sha256 != signed.files.get(FACTS), folder / FACTS)
    return Release(folder, facts, manifest, signed)


def check_all_files(release: Release) -> int:
    """Hold every file of a release against what is signed; give how many there are.

    Raises:
        TrustError: One is missing, changed, a link, or not signed.
    """
    files = {name: EngineFile(blob.hex, blob.size) for name, blob in files_of(release.manifest).items()}
    check_files(release.folder, files, beside=(MANIFEST, SIGNATURE), error=TrustError, hint=_PULL)
    return len(files)


def _read_manifest(path: Path) -> Tuple[Manifest, Mapping[str, Descriptor]]:
    content = _read(path, MAX_MANIFEST)
    try:
        manifest = parse_manifest(content, MANIFEST_TYPE)
        return manifest, files_of(manifest)
    except RegistryError as exc:
        raise TrustError(f"{path} is not the one that was signed. {exc.what}", hint=_PULL) from exc


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as exc:
        raise TrustError(f"{path} cannot be read: {exc.strerror}.", hint=_PULL) from exc
    if len(content) > limit:
        raise ModelError(f"{path} has more than {limit >> 20} MiB.", hint=_PULL)
    return content


def _refuse(wrong: bool, path: Path) -> None:  # noqa: FBT001
    if wrong:
        raise TrustError(f"{path} is not the one that was signed.", hint=_PULL)
