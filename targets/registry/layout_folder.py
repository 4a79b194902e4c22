"""Layout folder: an OCI image layout on disk, which is made when something is put in."""

import contextlib
import fcntl
import io
import os
import uuid
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Dict, Iterator

from targets.registry import referrers
from targets.registry.content import (
    INDEX_TYPE,
    REF_NAME,
    Descriptor,
    Manifest,
    canonical,
    describe,
    parse_manifest,
)
from targets.registry.disk import explained
from targets.registry.layout import Layout, blob_path, copy_checked
from targets.registry.repository import Content, Moved, unheard

_VERSION: Dict[str, Any] = {"imageLayoutVersion": "1.0.0"}


class Folder:
    """The files of a folder.

    Attributes:
        place: The folder.
    """

    def __init__(self, place: Path) -> None:
        self.place = place

    def open(self, name: str) -> "IO[bytes]":
        """Open a plain file; a link or a pipe is none."""
        return self._plain(name).open("rb")

    def size(self, name: str) -> int:
        """Give its size in bytes."""
        return self._plain(name).stat().st_size

    def _plain(self, name: str) -> Path:
        path = self.place / name
        if path.is_symlink() or not path.is_file():
            raise FileNotFoundError(name)
        return path


class LayoutFolder(Layout):
    """A layout that is read and written."""

    def __init__(self, folder: Path) -> None:
        super().__init__(Folder(folder))
        self._folder = folder

    def write_manifest(self, content: bytes, media_type: str, tag: str = "") -> Descriptor:
        """Put a manifest or index, all of whose blobs are there; with a tag, the tag then leads to it."""
        found, manifest = describe(content, media_type), parse_manifest(content, media_type)
        self.push_blob(found, content)
        subject = manifest.subject
        name = tag or (referrers.own_tag(subject.digest, found) if subject else "")
        with explained(self._folder), self._locked():
            self._list(found, manifest, name)
        if subject:
            referrers.enlist(self, subject.digest, referrers.stated(found, manifest))
        return found

    def push_blob(
        self,
        blob: Descriptor,
        content: Content,
        moved: Moved = unheard,
        mount_from: str = "",  # noqa: ARG002 - there is nowhere else
    ) -> None:
        """Put a blob, unless it is there.

        Raises:
            DigestError: The content is not what it is said to be.
            DiskFullError: There is no room.
        """
        if self.has_blob(blob):
            moved(blob.size)
            return
        with explained(self._folder):
            self._prepare()
            target = self._folder / blob_path(blob.digest)
            source = content.open("rb") if isinstance(content, Path) else io.BytesIO(content)
            with source, _written(target) as sink:
                copy_checked(source, sink, blob, moved)

    def _prepare(self) -> None:
        (self._folder / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        if not (self._folder / "oci-layout").exists():
            with self._locked():
                if not (self._folder / "index.json").exists():
                    _write(self._folder / "index.json", Manifest(INDEX_TYPE).encode())
                _write(self._folder / "oci-layout", canonical(_VERSION))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Give a context in which nobody else changes `index.json`."""
        lock = os.open(str(self._folder), os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _list(self, found: Descriptor, manifest: Manifest, tag: str) -> None:
        names = {REF_NAME: tag} if tag else {}
        entry = replace(found, annotations=names, artifact_type=manifest.artifact_type)
        others = [
            one
            for one in self.index()
            if (one.annotations.get(REF_NAME) != tag if tag else one.digest != found.digest)
        ]
        if not tag and len(others) < len(self.index()):  # it has a tag already
            return
        index = Manifest(INDEX_TYPE, manifests=(*others, entry))
        _write(self._folder / "index.json", index.encode())


def _write(path: Path, content: bytes) -> None:
    with _written(path) as sink:
        sink.write(content)


@contextlib.contextmanager
def _written(path: Path) -> "Iterator[IO[bytes]]":
    """Give a file that appears at a path when it is whole, and stays there when the power goes."""
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as sink:
            yield sink
            sink.flush()
            os.fsync(sink.fileno())
        temporary.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
