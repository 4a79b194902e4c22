"""Sign: a list of files as a bundle, and a bundle beside what it is about."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from targets.errors import TrustError
from targets.registry.artifact import Package, push
from targets.registry.content import Descriptor
from targets.registry.repository import Repository
from targets.trust.bundle import BUNDLE_TYPE, envelop, pre_authentication, statement, verify_bundle
from targets.trust.p256 import PublicKey

SIGNATURE_FILE = "signature.json"


class Signer(Protocol):
    """Who signs."""

    @property
    def public(self) -> PublicKey:
        """The public key."""

    @property
    def key_id(self) -> str:
        """How trust policies name it."""

    def sign(self, message: bytes) -> bytes:
        """Give the ECDSA signature over the SHA-256 of a message, in DER.

        Raises:
            TrustError: It cannot be made.
        """


def sign_files(name: str, files: Mapping[str, str], signer: Signer) -> bytes:
    """Give the bundle that says which files there are.

    Args:
        name: Of the whole, for people.
        files: SHA-256 of each, as hex digits, by name.
        signer: Whose signature it is.

    Raises:
        TrustError: It cannot be signed, or a device would not take it: a name leads elsewhere.
    """
    payload = statement(name, files)
    bundle = envelop(payload, signer.sign(pre_authentication(payload)), signer.public)
    if dict(verify_bundle(bundle, [signer.public]).files) != dict(files):
        raise TrustError("A signature that was made says something else.", hint="Run the same command again.")
    return bundle


def attach(repository: Repository, artifact: Descriptor, bundle: bytes) -> Descriptor:
    """Put a bundle beside the artifact that it is about, where `read_signed` finds it.

    Raises:
        RegistryError: It cannot be written there.
    """
    with tempfile.TemporaryDirectory(prefix="edgebound-") as folder:
        file = Path(folder) / SIGNATURE_FILE
        file.write_bytes(bundle)
        package = Package(
            BUNDLE_TYPE,
            {SIGNATURE_FILE: file},
            media_types={SIGNATURE_FILE: BUNDLE_TYPE},
            subject=Descriptor(artifact.media_type, artifact.digest, artifact.size),
        )
        return push(repository, package)
