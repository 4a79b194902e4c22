"""Layout: an OCI image layout as a repository that is read.

Format: OCI image-spec v1.1, image-layout.md.
"""

import hashlib
from pathlib import Path
from typing import IO, Iterator, List, Protocol, Tuple

from targets.errors import DigestError, NotFoundError, RegistryError
from targets.registry import referrers
from targets.registry.content import (
    MANIFEST_TYPE,
    MAX_MANIFEST,
    REF_NAME,
    Descriptor,
    describe,
    load_json,
    read_descriptor,
)
from targets.registry.disk import explained
from targets.registry.part import open_part, part_of
from targets.registry.reference import is_digest
from targets.registry.repository import Moved, unheard

_CHUNK = 1 << 20
_INDEX_LIMIT = 64 << 20  # bytes of index.json; an entry has some 300
_HINT = "It is damaged, or was tampered with: copy it again from where it came."


class Files(Protocol):
    """What a layout's files are read from.

    Attributes:
        place: The folder or archive.
    """

    place: Path

    def open(self, name: str) -> "IO[bytes]":
        """Open a plain file.

        Raises:
            FileNotFoundError: There is none of that name.
        """

    def size(self, name: str) -> int:
        """Give its size in bytes.

        Raises:
            FileNotFoundError: There is none of that name.
        """


class Layout:
    """A layout that is read."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def read_manifest(self, name: str) -> Tuple[Descriptor, bytes]:
        """Give the manifest or index of a tag or digest.

        Raises:
            NotFoundError: There is none.
            DigestError: It is another one.
        """
        listed = None if is_digest(name) else self._find(name)
        content = self._read(listed.digest if listed else name)
        return describe(content, listed.media_type if listed else _stated_type(content)), content

    def has_blob(self, blob: Descriptor) -> bool:
        """Say whether a blob is there."""
        try:
            return self._files.size(blob_path(blob.digest)) == blob.size
        except FileNotFoundError:
            return False

    def read_blob(self, blob: Descriptor) -> bytes:
        """Give a small blob.

        Raises:
            NotFoundError: It is not there.
            DigestError: It is another one.
        """
        return self._read(blob.digest)

    def fetch_blob(self, blob: Descriptor, path: Path, moved: Moved = unheard) -> None:
        """Write a blob to a file, which appears whole.

        Raises:
            NotFoundError: It is not there.
            DigestError: It is another one.
            DiskFullError: There is no room.
        """
        with explained(path), self._open(blob.digest) as source:
            path.parent.mkdir(parents=True, exist_ok=True)
            part = part_of(blob, path)
            with open_part(part) as file:
                file.truncate()
                copy_checked(source, file, blob, moved)
                part.replace(path)

    def tags(self) -> List[str]:
        """Give all tags, sorted."""
        return sorted({one.annotations[REF_NAME] for one in self.index() if REF_NAME in one.annotations})

    def referrers(self, digest: str) -> Iterator[Tuple[Descriptor, bytes]]:
        """Give the manifests whose subject is a digest, by the list of them or by their own tags."""
        prefix = f"{referrers.list_tag(digest)}."
        tagged = [one for one in self.index() if one.annotations.get(REF_NAME, "").startswith(prefix)]
        return referrers.read(self, digest, [*referrers.listed(self, digest), *tagged])

    def index(self) -> List[Descriptor]:
        """Give all that `index.json` lists.

        Raises:
            NotFoundError: This is no layout.
            RegistryError: It cannot be read.
        """
        try:
            with self._files.open("index.json") as file:
                content = file.read(_INDEX_LIMIT)  # of a longer one the end is missing, and it is no JSON
            return [read_descriptor(one) for one in load_json(content)["manifests"]]
        except FileNotFoundError as exc:
            raise NotFoundError(
                f"{self._files.place} is no OCI image layout.",
                hint="It has no index.json; is the path right?",
            ) from exc
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise RegistryError(
                f"{self._files.place}: index.json cannot be read: {exc!r}.", hint=_HINT
            ) from exc

    def _find(self, tag: str) -> Descriptor:
        listed = [one for one in self.index() if one.annotations.get(REF_NAME) == tag]
        if not listed:
            raise NotFoundError(
                f"{self._files.place} has no tag {tag!r}.",
                hint=f"It has {', '.join(self.tags()[:5]) or 'none'}.",
            )
        return listed[-1]

    def _open(self, digest: str) -> "IO[bytes]":
        try:
            return self._files.open(blob_path(digest))
        except FileNotFoundError as exc:
            raise NotFoundError(f"{self._files.place} does not have {digest}.", hint=_HINT) from exc

    def _read(self, digest: str) -> bytes:
        with self._open(digest) as file:
            content = file.read(MAX_MANIFEST + 1)
        if len(content) > MAX_MANIFEST:
            raise RegistryError(
                f"{digest} has more than {MAX_MANIFEST >> 20} MiB.", hint="No manifest has so much."
            )
        if describe(content, "").digest != digest:
            raise _other(digest)
        return content


def blob_path(digest: str) -> str:
    """Give where a blob is in a layout."""
    assert is_digest(digest), digest
    return digest.replace(":", "/").join(("blobs/", ""))


def copy_checked(source: "IO[bytes]", sink: "IO[bytes]", blob: Descriptor, moved: Moved) -> None:
    """Copy a blob, no more than it is said to have.

    Raises:
        DigestError: It is another one.
    """
    sha256, left = hashlib.sha256(), blob.size
    while True:
        chunk = source.read(_CHUNK)
        left -= len(chunk)
        if not chunk or left < 0:
            break
        sha256.update(chunk)
        sink.write(chunk)
        moved(len(chunk))
    if left or sha256.hexdigest() != blob.hex:
        raise _other(blob.digest)
    sink.flush()


def _other(digest: str) -> DigestError:
    return DigestError(f"There are other bytes than {digest} names.", hint=_HINT)


def _stated_type(content: bytes) -> str:
    """Give what a manifest calls itself; in old ones nothing is said."""
    try:
        return str(load_json(content).get("mediaType", MANIFEST_TYPE))
    except ValueError:
        return ""
