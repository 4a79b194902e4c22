"""Keys: P-256 key pairs as PEM files, and signatures by them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from targets.errors import UsageError
from targets.folder import is_safe
from targets.trust.p256 import PublicKey, read_der, read_pem

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

_MAX_KEY = 1 << 16  # bytes
_HOW = "`pipeline key new` makes a key that fits."


@dataclass(frozen=True)
class KeyFiles:
    """A new pair of keys.

    Attributes:
        private: File that nobody else may read.
        public: File for those who shall trust it.
        key: The public key.
    """

    private: Path
    public: Path
    key: PublicKey


class KeySigner:
    """Signs with a private key.

    Attributes:
        public: The public key.
    """

    def __init__(self, private: EllipticCurvePrivateKey) -> None:
        self._private = private
        self.public = _public(private)

    @property
    def key_id(self) -> str:
        """How trust policies name it."""
        return self.public.id

    def sign(self, message: bytes) -> bytes:
        """Give the signature of a message, in DER."""
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.hashes import SHA256

        return self._private.sign(message, ECDSA(SHA256()))


def new_key(folder: Path, name: str, password: str = "") -> KeyFiles:
    """Write a new pair of keys: `NAME.key.pem` and `NAME.pub.pem`.

    Args:
        folder: Where to; made if it is not there.
        name: Of the files.
        password: That the private key is encrypted with; empty for none.

    Raises:
        UsageError: One of them is there, or cannot be written.
    """
    serialization = _serialization()
    from cryptography.hazmat.primitives.asymmetric import ec

    if not is_safe(name) or "/" in name:
        raise UsageError(
            f"{name!r} is no name for files.", hint="Letters, digits, dots, dashes: --name release."
        )
    private = ec.generate_private_key(ec.SECP256R1())
    protection = (
        serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    )
    pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)
    files = KeyFiles(folder / f"{name}.key.pem", folder / f"{name}.pub.pem", _public(private))
    for path in (files.private, files.public):
        if path.exists() or path.is_symlink():
            raise UsageError(
                f"{path} is there already.", hint="Nothing was written. --name gives another name."
            )
    _write_new(files.private, pem, 0o600)
    _write_new(files.public, files.key.pem.encode(), 0o644)
    return files


def load_signer(pem: bytes, source: str, password: str = "") -> KeySigner:
    """Give who signs with a private key.

    Args:
        pem: The key.
        source: Where it is from, for the message.
        password: Of it; empty if it has none.

    Raises:
        UsageError: It is no key, not of P-256, or the password is wrong.
    """
    serialization = _serialization()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        private = serialization.load_pem_private_key(pem, password.encode() or None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise UsageError(
            f"{source} cannot be read as a private key: {str(exc)[:200]}",
            hint=f"EDGEBOUND_KEY_PASSWORD holds the password, if it has one. {_HOW}",
        ) from exc
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.name != "secp256r1":
        raise UsageError(f"{source} is no key of the curve P-256.", hint=_HOW)
    return KeySigner(private)


def load_public(path: Path) -> PublicKey:
    """Read a public key's file.

    Raises:
        UsageError: It is none, or not of P-256.
    """
    try:
        return read_pem(read_key_file(path).decode())
    except ValueError as exc:
        raise UsageError(f"{path} cannot be read as a public key: {exc}.", hint=_HOW) from exc


def read_key_file(path: Path) -> bytes:
    """Give the bytes of a file that holds a key.

    Raises:
        UsageError: It cannot be read, or is far too big.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_KEY + 1)
    except OSError as exc:
        raise UsageError(f"The key {path} cannot be read: {exc.strerror}.", hint=_HOW) from exc
    if len(content) > _MAX_KEY:
        raise UsageError(f"{path} is too big for a key.", hint=_HOW)
    return content


def _public(private: EllipticCurvePrivateKey) -> PublicKey:
    from cryptography.hazmat.primitives import serialization

    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return read_der(private.public_key().public_bytes(serialization.Encoding.DER, form))


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as exc:
        raise UsageError(
            f"{path} cannot be written: {exc.strerror}.", hint="--out names another folder."
        ) from exc


def _serialization() -> ModuleType:
    try:
        from cryptography.hazmat.primitives import serialization
    except ImportError as exc:
        raise UsageError(
            "Signing with a key needs the package cryptography.",
            hint="pip install 'edgebound[sign]'; --sign-cmd signs without it.",
        ) from exc
    return serialization
