"""Content: descriptors and manifests, read from anywhere with nothing taken for granted.

Formats: OCI image-spec v1.1, descriptor.md, manifest.md, image-index.md.
"""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Tuple

from targets.errors import RegistryError
from targets.registry.reference import is_digest

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
EMPTY = b"{}"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
TITLE = "org.opencontainers.image.title"
REF_NAME = "org.opencontainers.image.ref.name"
MAX_MANIFEST = 4 << 20  # bytes; distribution-spec: registries should take 4 MiB, and most take no more
_MAX_DIGITS = 19  # of a size; a longer one takes Python quadratic time to read
_HINT = "It was written by something else than edgebound, or damaged; push it again from where it was made."


@dataclass(frozen=True)
class Descriptor:
    """What is known of a blob or manifest before it is there.

    Attributes:
        media_type: What it is.
        digest: `sha256:` and 64 hex digits.
        size: In bytes.
        annotations: What its parent says of it.
        artifact_type: Of a manifest; empty if its parent does not say.
        platform: Of a manifest in an index; empty if its parent does not say.
    """

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str = ""
    platform: Mapping[str, str] = field(default_factory=dict)

    @property
    def hex(self) -> str:
        """The digest without its algorithm."""
        return self.digest[len("sha256:") :]

    def as_json(self) -> Dict[str, Any]:
        """Give it as manifests spell it."""
        found: Dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        more = {
            "artifactType": self.artifact_type,
            "annotations": dict(self.annotations),
            "platform": dict(self.platform),
        }
        return dict(found, **{key: value for key, value in more.items() if value})


@dataclass(frozen=True)
class Manifest:
    """A manifest or an index; of the two lists only one is filled.

    Attributes:
        media_type: `MANIFEST_TYPE` or `INDEX_TYPE`.
        artifact_type: What the artifact is; of an older one, what its config is.
        config: None in an index.
        layers: Blobs of a manifest.
        manifests: Children of an index.
        subject: What this is about: of a signature, what is signed.
        annotations: Facts.
    """

    media_type: str
    artifact_type: str = ""
    config: Optional[Descriptor] = None
    layers: Tuple[Descriptor, ...] = ()
    manifests: Tuple[Descriptor, ...] = ()
    subject: Optional[Descriptor] = None
    annotations: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Give the one JSON spelling of it."""
        table: Dict[str, Any] = {"schemaVersion": 2, "mediaType": self.media_type}
        if self.artifact_type:
            table["artifactType"] = self.artifact_type
        if self.config:
            table["config"] = self.config.as_json()
        name, children = (
            ("manifests", self.manifests) if self.media_type == INDEX_TYPE else ("layers", self.layers)
        )
        table[name] = [child.as_json() for child in children]
        if self.subject:
            table["subject"] = self.subject.as_json()
        if self.annotations:
            table["annotations"] = dict(self.annotations)
        return canonical(table)


def canonical(value: object) -> bytes:
    """Give the one JSON spelling of a value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def describe(content: bytes, media_type: str, **more: Any) -> Descriptor:
    """Describe bytes."""
    return Descriptor(media_type, f"sha256:{hashlib.sha256(content).hexdigest()}", len(content), **more)


def parse_manifest(content: bytes, media_type: str) -> Manifest:
    """Read a manifest or an index from elsewhere.

    Args:
        content: Its bytes, of the digest that was asked for.
        media_type: What it was announced as.

    Raises:
        RegistryError: It is neither, is malformed, or is not what it was announced as (CVE-2021-41190).
    """
    if media_type not in (MANIFEST_TYPE, INDEX_TYPE):
        raise RegistryError(
            f"This is {media_type or 'of no stated type'}, neither an OCI manifest nor an OCI index.",
            hint="Is it a container image in Docker's format? Only OCI artifacts can be used here.",
        )
    try:
        return _read_manifest(load_json(content), media_type)
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise RegistryError(f"A manifest cannot be read: {exc!r}.", hint=_HINT) from exc


def load_json(content: bytes) -> Dict[str, Any]:
    """Read a JSON object in which each key is there once, and every figure is finite and short.

    Raises:
        ValueError: It is none.
    """
    try:
        table = json.loads(
            content.decode(), object_pairs_hook=_once, parse_constant=_refuse, parse_int=_short_int
        )
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc
    if not isinstance(table, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004
    return table


def _read_manifest(table: Mapping[str, Any], media_type: str) -> Manifest:
    stated, version = table.get("mediaType", media_type), table.get("schemaVersion")
    if stated != media_type or version != 2:
        raise ValueError(f"it is version {version!r} of {stated!r}, not {media_type}")
    if "manifests" in table and "layers" in table:
        raise ValueError("it is a manifest and an index at once")
    is_index = media_type == INDEX_TYPE
    config = None if is_index else read_descriptor(table["config"])
    subject = table.get("subject")
    return Manifest(
        media_type=media_type,
        artifact_type=_text(table.get("artifactType", "")) or (config.media_type if config else ""),
        config=config,
        layers=() if is_index else _descriptors(table["layers"]),
        manifests=_descriptors(table["manifests"]) if is_index else (),
        subject=read_descriptor(subject) if subject else None,
        annotations=_texts(table.get("annotations")),
    )


def _descriptors(items: Any) -> Tuple[Descriptor, ...]:
    if not isinstance(items, list):
        raise ValueError("a list of descriptors is none")  # noqa: TRY004
    return tuple(read_descriptor(item) for item in items)


def read_descriptor(table: Mapping[str, Any]) -> Descriptor:
    """Read a descriptor.

    Raises:
        ValueError: A digest is not sha256, a size is no size.
        KeyError: It lacks something.
        TypeError: It is no table.
    """
    digest, size = _text(table["digest"]), table["size"]
    if not is_digest(digest):
        raise ValueError(f"{digest[:100]!r} is no sha256 digest")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError(f"{size!r} is no size")
    platform = table.get("platform")
    return Descriptor(
        media_type=_text(table["mediaType"]),
        digest=digest,
        size=size,
        annotations=_texts(table.get("annotations")),
        artifact_type=_text(table.get("artifactType", "")),
        platform={key: value for key, value in (platform or {}).items() if isinstance(value, str)},
    )


def _texts(table: Any) -> Dict[str, str]:
    return {_text(key): _text(value) for key, value in (table or {}).items()}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")  # noqa: TRY004
    return value


def _once(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key is there twice")
    return table


def _short_int(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError("a figure is too long")
    return int(digits)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
