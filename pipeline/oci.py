"""The parts of an OCI image layout that a step result is made of.

Format: OCI image-spec v1.1, image-layout.md and manifest.md. One manifest a step result; its config blob is
the record of how it was made, its layers are the files, each with its name in an annotation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

LAYOUT = {"imageLayoutVersion": "1.0.0"}
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
STEP_TYPE = "application/vnd.edgebound.step.v1"
RECORD_TYPE = "application/vnd.edgebound.step.record.v1+json"
FILE_TYPE = "application/octet-stream"
TITLE = "org.opencontainers.image.title"
REF_NAME = "org.opencontainers.image.ref.name"
EMPTY = b"{}"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"  # a manifest must have a layer, even where there is no file

Descriptor = dict[str, Any]


def canonical(value: object) -> bytes:
    """Give the one JSON spelling of `value`."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def descriptor(media_type: str, digest: str, size: int, **annotations: str) -> Descriptor:
    """Describe a blob."""
    found: Descriptor = {"mediaType": media_type, "digest": digest, "size": size}
    return {**found, "annotations": annotations} if annotations else found


def manifest(record: Descriptor, files: Mapping[str, Descriptor], empty: Descriptor) -> bytes:
    """Write the manifest of a step result, whose files are given by name."""
    return canonical(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": STEP_TYPE,
            "config": record,
            "layers": [{**blob, "annotations": {TITLE: name}} for name, blob in sorted(files.items())]
            or [empty],
        }
    )


def files_of(parsed: Mapping[str, Any]) -> dict[str, Descriptor]:
    """Give the files of a manifest by name."""
    layers: list[Descriptor] = parsed["layers"]
    return {layer["annotations"][TITLE]: layer for layer in layers if "annotations" in layer}


def index(manifests: list[Descriptor]) -> bytes:
    """Write `index.json`."""
    return canonical({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests})
