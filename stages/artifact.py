"""Artifact: one or more named files with a digest, the only thing that passes between stages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Artifact:
    """A folder of finished files, under their real names. Read only.

    Attributes:
        path: The folder, or one file that a user named.
        digest: `sha256:<hex>` over names and contents; two equal ones hold the same bytes.
    """

    path: Path
    digest: str

    def __truediv__(self, name: str) -> Path:
        """Give the path of the file `name`."""
        return self.path / name

    @classmethod
    def of(cls, path: Path) -> Artifact:
        """Describe a file, or a folder and all files below it, by hashing them.

        Raises:
            FileNotFoundError: There is nothing.
        """
        if path.is_file():
            return cls(path, digest_file(path))
        return cls(path, digest_names({name: digest_file(file) for name, file in walk(path)}))


def walk(folder: Path) -> Iterator[tuple[str, Path]]:
    """Give name (relative, `/`-separated) and path of each file below `folder`, sorted by name."""
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            yield file.relative_to(folder).as_posix(), file


def digest_file(path: Path) -> str:
    """Give the `sha256:<hex>` of a file."""
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            sha256.update(chunk)
    return f"sha256:{sha256.hexdigest()}"


def digest_names(digests: Mapping[str, str]) -> str:
    """Give the digest of a folder from the digests of its files."""
    return digest_json(dict(digests))


def digest_json(value: object) -> str:
    """Give the `sha256:<hex>` of a JSON value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
