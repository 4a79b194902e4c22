"""Bundle: a signature over a list of files, as OpenSSF model signing (OMS) writes it.

A Sigstore bundle v0.3 holds a DSSE envelope, that an in-toto statement v1, and that the digest of each file.
What is written by `model_signing sign key` is read too, as long as all its names are safe.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Mapping, Tuple

from targets.errors import TrustError
from targets.folder import is_safe
from targets.registry.content import canonical, load_json
from targets.trust.p256 import PublicKey, verify

BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"
MAX_BUNDLE = 4 << 20  # bytes; some 15,000 files
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HINT = "Was it damaged on its way, or made by another program? Fetch it again, or ask who released it."


@dataclass(frozen=True)
class Signed:
    """What a signature that holds says.

    Attributes:
        key_id: Of the key that made it.
        name: That the signer gave to the whole; for people.
        files: SHA-256 of each, as hex digits, by name.
    """

    key_id: str
    name: str
    files: Mapping[str, str]


def verify_bundle(bundle: bytes, keys: Iterable[PublicKey]) -> Signed:
    """Give what a bundle says, if one of some keys made it.

    Raises:
        TrustError: None of them did, or it is malformed.
    """
    try:
        hint, payload, signature = _open(bundle)
    except _MALFORMED as exc:
        raise TrustError(f"A signature cannot be read: {_why(exc)}.", hint=_HINT) from exc
    message = pre_authentication(payload)
    candidates = [key for key in keys if key.hint == hint]
    if not candidates:
        raise TrustError(
            f"A signature is of a key that is not trusted here (its hint: {hint[:16]!r}).",
            hint="`pipeline key trust` adds a key that you have from somebody you trust to the trust policy.",
        )
    for key in candidates:
        if verify(key, message, signature):
            return _signed(key, payload)
    raise TrustError(f"A signature that names key {candidates[0].id[:16]}… is not by it.", hint=_HINT)


def pre_authentication(payload: bytes) -> bytes:
    """Give the bytes that are signed (DSSE v1, PAE)."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def statement(name: str, files: Mapping[str, str]) -> bytes:
    """Give the statement of what files there are, in the order that OMS lists them in."""
    names = sorted(files, key=lambda one: one.split("/"))
    table = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": _root(files[one] for one in names)}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": [],
            },
            "resources": [{"name": one, "algorithm": "sha256", "digest": files[one]} for one in names],
        },
    }
    return canonical(table)


def envelop(payload: bytes, signature: bytes, key: PublicKey) -> bytes:
    """Give the bundle of a statement, its signature and whose it is."""
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
    }
    material = {"publicKey": {"hint": key.hint}, "tlogEntries": []}
    return canonical({"mediaType": BUNDLE_TYPE, "verificationMaterial": material, "dsseEnvelope": envelope})


_MALFORMED = (ValueError, KeyError, TypeError, AttributeError)


def _open(bundle: bytes) -> Tuple[str, bytes, bytes]:
    """Give the hint at the key, the payload and the signature of a bundle; nothing is verified yet."""
    if len(bundle) > MAX_BUNDLE:
        raise ValueError(f"it has more than {MAX_BUNDLE >> 20} MiB")
    table = load_json(bundle)
    envelope = table["dsseEnvelope"]
    _expect(BUNDLE_TYPE, table["mediaType"])
    _expect(PAYLOAD_TYPE, envelope["payloadType"])
    signature = _only(envelope["signatures"], "signature")
    return (
        _text(table["verificationMaterial"]["publicKey"]["hint"]),
        _bytes(envelope["payload"]),
        _bytes(signature["sig"]),
    )


def _signed(key: PublicKey, payload: bytes) -> Signed:
    """Read a statement whose signature holds."""
    try:
        table = load_json(payload)
        _expect(STATEMENT_TYPE, table["_type"])
        _expect(PREDICATE_TYPE, table["predicateType"])
        subject = _only(table["subject"], "subject")
        serialization = table["predicate"]["serialization"]
        _expect("files", serialization["method"])
        _expect("sha256", serialization["hash_type"])
        files = _files(_list(table["predicate"]["resources"]))
        _expect(_root(files.values()), subject["digest"]["sha256"])
        name = _text(subject["name"])
    except _MALFORMED as exc:
        raise TrustError(
            f"Key {key.id[:16]}… signed something that is no list of files: {_why(exc)}.", hint=_HINT
        ) from exc
    return Signed(key.id, name, files)


def _files(resources: List[Any]) -> Dict[str, str]:
    files: Dict[str, str] = {}
    for resource in resources:
        name, digest = _text(resource["name"]), _text(resource["digest"])
        _expect("sha256", resource["algorithm"])
        if not is_safe(name) or name in files or not _SHA256.fullmatch(digest):
            raise ValueError(f"{name[:100]!r} leads elsewhere, is there twice, or has no digest")
        files[name] = digest
    return files


def _root(digests: Iterable[str]) -> str:
    return hashlib.sha256(b"".join(map(bytes.fromhex, digests))).hexdigest()


def _expect(wanted: str, found: object) -> None:
    if found != wanted:
        raise ValueError(f"it says {found!r:.100}, not {wanted!r}")


def _list(value: Any) -> List[Any]:
    if not isinstance(value, list):
        raise ValueError("a list is none")  # noqa: TRY004
    return value


def _only(value: Any, what: str) -> Any:
    items = _list(value)
    if len(items) != 1:
        raise ValueError(f"it has {len(items)} of what there must be one: {what}")
    return items[0]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a text is none")  # noqa: TRY004
    return value


def _bytes(value: Any) -> bytes:
    try:
        return base64.b64decode(_text(value), validate=True)
    except binascii.Error as exc:
        raise ValueError(f"base64 is broken: {exc}") from exc


def _why(exc: Exception) -> str:
    return f"{exc} is missing" if isinstance(exc, KeyError) else str(exc)[:300]
