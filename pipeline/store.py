"""The store: what finished steps made, in an OCI image layout, found again by the key of the step.

```
.edgebound/store/blobs/sha256/…   every file, manifest and record, by digest
.edgebound/store/index.json       all manifests, for OCI tools
.edgebound/store/actions/<key>    key of a step -> its manifest; written last, so it is there only when all is
.edgebound/artifacts/<digest>/    artifacts as folders of real names (hard links to blobs; made again if lost)
.edgebound/work/<key>/            what an unfinished step has so far
.edgebound/locks/<key>            leases
```
Evidence for this design: decision D4.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from pipeline import oci
from pipeline.files import explained, write_atomically
from pipeline.lease import lease
from stages.artifact import Artifact, digest_file, walk
from targets.errors import StoreError

_MANY_FILES = 32  # from here on one sync of the file system is cheaper than one of each file


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A finished step, as the store has it.

    Attributes:
        key: Of the step, 64 hex digits.
        manifest: Digest of its manifest.
        record: How it was made, and its result with artifacts as `{"path": folder, "digest": …}`.
        files: Descriptors by name, `folder/name`.
    """

    key: str
    manifest: str
    record: Mapping[str, Any]
    files: Mapping[str, oci.Descriptor]


class Store:
    """Everything under `.edgebound` but the runs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.blobs = root / "store" / "blobs" / "sha256"
        self.actions = root / "store" / "actions"
        self.views = root / "artifacts"

    def prepare(self) -> None:
        """Make the folders.

        Raises:
            StoreError: They cannot be made or written here.
        """
        with explained(self.root):
            for folder in (self.blobs, self.actions, self.views, self.root / "work", self.root / "locks"):
                folder.mkdir(parents=True, exist_ok=True)
            ignore = self.root / ".gitignore"
            if not ignore.exists():
                write_atomically(ignore, b"*\n")
            layout = self.root / "store" / "oci-layout"
            if not layout.exists():
                write_atomically(layout, oci.canonical(oci.LAYOUT))

    @contextmanager
    def lock(self, name: str, waiting: Callable[[str], None]) -> Iterator[None]:
        """Give a context in which nobody else works on `name`."""
        with explained(self.root), lease(self.root / "locks" / name, waiting=waiting):
            yield

    def work(self, key: str) -> Path:
        """Give the folder of an unfinished step."""
        return self.root / "work" / key

    def step_keys(self) -> list[str]:
        """Give the keys of all finished steps."""
        return sorted(path.name for path in self.actions.glob("[0-9a-f]*")) if self.actions.is_dir() else []

    # ------------------------------------------------------------------------------------------ read
    def find(self, key: str) -> Entry | None:
        """Find a finished step; None if there is none, or if a file of it is lost or was changed."""
        try:
            action = json.loads((self.actions / key).read_bytes())
            manifest = json.loads(self._checked(action["manifest"], action["stats"]))
            record = json.loads(self._checked(manifest["config"]["digest"], action["stats"]))
            files = oci.files_of(manifest)
            for file in files.values():
                self._check(file["digest"], action["stats"])
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (_ChangedError, ValueError, KeyError, TypeError):
            return None
        return Entry(key=key, manifest=action["manifest"], record=record, files=files)

    def mark_used(self, key: str) -> None:
        """Note that a run needed a finished step; `gc` goes by the last use."""
        with explained(self.root):
            os.utime(self.actions / key)

    def open(self, entry: Entry, name: str, digest: str) -> Artifact:
        """Give the artifact `name` of `entry` as a folder of read-only files."""
        view = self.views / _hex(digest)
        files = {
            file.removeprefix(f"{name}/"): blob
            for file, blob in entry.files.items()
            if file.startswith(f"{name}/")
        }
        if not self._is_whole(view, files):
            self._make_view(view, files)
        return Artifact(view, digest)

    def _is_whole(self, view: Path, files: Mapping[str, oci.Descriptor]) -> bool:
        """Say whether `view` has all files, and no other bytes than the blobs."""
        there = dict(walk(view))
        return there.keys() == files.keys() and all(
            path.samefile(self._blob(files[name]["digest"])) or digest_file(path) == files[name]["digest"]
            for name, path in there.items()
        )

    def _make_view(self, view: Path, files: Mapping[str, oci.Descriptor]) -> None:
        with explained(view):
            fresh = view.with_name(f".{view.name}.{uuid4().hex}")
            for name, blob in files.items():
                (fresh / name).parent.mkdir(parents=True, exist_ok=True)
                link_file(self._blob(blob["digest"]), fresh / name)
            fresh.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(view, ignore_errors=True)
            try:
                fresh.rename(view)
            except OSError:  # another process was quicker; its view is as good
                shutil.rmtree(fresh)

    def _checked(self, digest: str, stats: Mapping[str, list[int]]) -> bytes:
        self._check(digest, stats)
        return self._blob(digest).read_bytes()

    def _check(self, digest: str, stats: Mapping[str, list[int]]) -> None:
        """Make sure that a blob is unchanged: by size and time if these are as they were, else by content."""
        path = self._blob(digest)
        if stats.get(digest) != _stat(path) and digest_file(path) != digest:
            raise _ChangedError(digest)

    # ----------------------------------------------------------------------------------------- write
    def commit(self, key: str, record: Mapping[str, Any], folders: Mapping[str, Path]) -> Entry:
        """Keep what a step made. Only when all of it is on the disk does `find` know of it.

        Args:
            key: Of the step.
            record: How it was made, and its result; JSON.
            folders: Its artifacts' folders by name. Their files are linked into the store, not copied.

        Raises:
            StoreError: The disk is full, or the store may not be written.
        """
        with explained(self.root):
            files = {
                f"{name}/{file}": self._keep(path, digest_file(path))
                for name, folder in folders.items()
                for file, path in walk(folder)
            }
            config = self._put(oci.canonical(record), oci.RECORD_TYPE)
            empty = self._put(oci.EMPTY, oci.EMPTY_TYPE)
            manifest = self._put(oci.manifest(config, files, empty), oci.MANIFEST_TYPE)
            blobs = {blob["digest"] for blob in (*files.values(), config, empty, manifest)}
            self._sync(blobs)
            self._list(manifest, key)
            stats = {digest: _stat(self._blob(digest)) for digest in sorted(blobs)}
            action = {"manifest": manifest["digest"], "stats": stats}
            write_atomically(self.actions / key, oci.canonical(action))
        return Entry(key=key, manifest=manifest["digest"], record=record, files=files)

    def forget(self, key: str) -> None:
        """Let a finished step be as if it had never run; `gc` frees its files."""
        (self.actions / key).unlink(missing_ok=True)

    def _keep(self, source: Path, digest: str) -> oci.Descriptor:
        assert not source.is_symlink(), f"{source} belongs to somebody else"
        blob = self._blob(digest)
        if not blob.exists() or digest_file(blob) != digest:
            temporary = blob.with_name(f".{blob.name}.{uuid4().hex}.tmp")
            link_file(source, temporary)
            temporary.chmod(0o444)
            temporary.replace(blob)
        return oci.descriptor(oci.FILE_TYPE, digest, blob.stat().st_size)

    def _put(self, content: bytes, media_type: str) -> oci.Descriptor:
        temporary = self.blobs / f".{uuid4().hex}.tmp"
        temporary.write_bytes(content)
        digest = digest_file(temporary)
        try:
            found = self._keep(temporary, digest)
        finally:
            temporary.unlink()
        return {**found, "mediaType": media_type}

    def _sync(self, digests: set[str]) -> None:
        if len(digests) >= _MANY_FILES:
            os.sync()
            return
        for path in (*map(self._blob, sorted(digests)), self.blobs):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _list(self, manifest: oci.Descriptor, key: str) -> None:
        """Add a manifest to `index.json`, where other tools look for it."""
        with self.lock("index", waiting=lambda _: None):
            named = {**manifest, "annotations": {oci.REF_NAME: key}}
            others = [one for one in self.listed() if one["annotations"][oci.REF_NAME] != key]
            write_atomically(self.root / "store" / "index.json", oci.index([*others, named]))

    def listed(self) -> list[oci.Descriptor]:
        """Give the manifests that `index.json` names."""
        path = self.root / "store" / "index.json"
        if not path.exists():
            return []
        try:
            manifests: list[oci.Descriptor] = json.loads(path.read_bytes())["manifests"]
        except (ValueError, KeyError) as exc:
            raise StoreError(
                f"{path} is not an OCI index: {exc}.", hint="`pipeline store fsck --repair` writes it anew."
            ) from exc
        return manifests

    def blob_paths(self) -> Iterator[Path]:
        """Give the paths of all blobs."""
        return (path for path in self.blobs.iterdir() if not path.name.startswith("."))

    def _blob(self, digest: str) -> Path:
        return self.blobs / _hex(digest)


class _ChangedError(Exception):
    """A blob's bytes are not what its name says."""


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _stat(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def link_file(source: Path, target: Path) -> None:
    """Give a file a second name; copy it where the file system has no hard links."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        shutil.copy2(source, target)
