"""Artifact: files as an OCI artifact, put into a repository, got out of it, copied to another."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Tuple

from targets.errors import RegistryError
from targets.folder import describe_file, is_safe
from targets.registry.content import (
    EMPTY,
    EMPTY_TYPE,
    INDEX_TYPE,
    MANIFEST_TYPE,
    TITLE,
    Descriptor,
    Manifest,
    describe,
    parse_manifest,
)
from targets.registry.disk import explained, refuse_full_disk
from targets.registry.referrers import own_tag
from targets.registry.repository import Moved, Repository, Source, unheard

_FILE_TYPE = "application/octet-stream"
_DEEPEST = 3  # an index of indexes of manifests; nobody needs more
_MOST_MANIFESTS = 10_000


@dataclass(frozen=True)
class Package:
    """What an artifact is made of.

    Attributes:
        artifact_type: What it is, as a media type.
        files: By the name that they have when they are pulled, with `/`.
        media_types: Of files that are not just bytes, by name.
        annotations: Facts.
        subject: What it is about.
        config: Description of it, and its media type; without one, none.
    """

    artifact_type: str
    files: Mapping[str, Path]
    media_types: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    subject: Optional[Descriptor] = None
    config: Tuple[bytes, str] = (EMPTY, EMPTY_TYPE)


def push(
    repository: Repository, package: Package, tag: str = "", *, moved: Moved = unheard, mount_from: str = ""
) -> Descriptor:
    """Put an artifact into a repository. What is there is not sent again; the manifest comes last.

    Args:
        repository: Where to.
        package: What.
        tag: Of it. What has a subject gets one of its own, see `referrers`.
        moved: Told how it goes on.
        mount_from: Another repository of the same registry that may have its files.

    Raises:
        RegistryError: It cannot be written there.
    """
    layers: List[Descriptor] = []
    for name, path in sorted(package.files.items()):
        with explained(path):
            file = describe_file(path)
        media_type = package.media_types.get(name, _FILE_TYPE)
        blob = Descriptor(media_type, f"sha256:{file.sha256}", file.size, {TITLE: name})
        repository.push_blob(blob, path, moved, mount_from)
        layers.append(blob)
    content, config_type = package.config
    config = describe(content, config_type)
    repository.push_blob(config, content)
    if not layers:  # a manifest must have a layer: image-spec, "Guidelines for Artifact Usage"
        empty = describe(EMPTY, EMPTY_TYPE)
        repository.push_blob(empty, EMPTY)
        layers.append(empty)
    manifest = Manifest(
        media_type=MANIFEST_TYPE,
        artifact_type=package.artifact_type,
        config=config,
        layers=tuple(layers),
        subject=package.subject,
        annotations=package.annotations,
    )
    return repository.write_manifest(manifest.encode(), MANIFEST_TYPE, tag)


def push_index(repository: Repository, index: Manifest, tag: str) -> Descriptor:
    """Put an index, all of whose manifests are there.

    They get tags of their own: distribution 2.8 collects those without, even where an index leads to them.
    """
    content = index.encode()
    parent = describe(content, INDEX_TYPE)
    for child in index.manifests:
        found, text = repository.read_manifest(child.digest)
        repository.write_manifest(text, found.media_type, own_tag(parent.digest, child))
    return repository.write_manifest(content, INDEX_TYPE, tag)


def find(source: Source, name: str) -> Tuple[Descriptor, Manifest]:
    """Read the manifest or index of a tag or digest.

    Raises:
        NotFoundError: There is none.
        RegistryError: It is malformed.
    """
    found, content = source.read_manifest(name)
    return found, parse_manifest(content, found.media_type)


def files_of(manifest: Manifest) -> Dict[str, Descriptor]:
    """Give the files of an artifact by name.

    Raises:
        RegistryError: A name is missing, leads elsewhere, is there twice, or is a folder of another's.
    """
    files: Dict[str, Descriptor] = {}
    taken: Dict[str, str] = {}  # as file systems of Windows and macOS see names; folders too
    for layer in manifest.layers:
        if layer.media_type == EMPTY_TYPE:
            continue
        name = layer.annotations.get(TITLE, "")
        if not is_safe(name):
            raise _unsafe(f"a file under the name {name[:100]!r}")
        folders = [folder.lower() for folder in _folders(name)]
        if name.lower() in taken or any(taken.get(folder) == "file" for folder in folders):
            raise _unsafe(f"the name {name!r} twice")
        taken.update(dict.fromkeys(folders, "folder"), **{name.lower(): "file"})
        files[name] = layer
    return files


def fetch(source: Source, manifest: Manifest, folder: Path, moved: Moved = unheard) -> Dict[str, Path]:
    """Write an artifact's files to a folder. Those that are there are kept; nothing is unpacked.

    They are whole, but not yet safe from a power cut: sync before something depends on them.

    Raises:
        RegistryError: A name leads elsewhere, or a folder is a link.
        DigestError: A file is another one.
        DiskFullError: There is no room for them all; looked at before anything is written.
    """
    files = files_of(manifest)
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _refuse_links(folder, files)
        missing = {name: blob for name, blob in files.items() if not _is_there(folder / name, blob)}
        refuse_full_disk(folder, sum(blob.size for blob in missing.values()))
    moved(sum(files[name].size for name in set(files) - set(missing)))
    for name, blob in missing.items():
        source.fetch_blob(blob, folder / name, moved)
    return {name: folder / name for name in files}


def copy(
    source: Source, target: Repository, name: str, *, tag: str = "", scratch: Path, moved: Moved = unheard
) -> Descriptor:
    """Copy an artifact or an index, all it leads to, and what refers to it; digests stay as they are.

    Args:
        source: Where from.
        target: Where to.
        name: Tag or digest.
        tag: There.
        scratch: Folder for files on their way; what an interrupted copy leaves there is gone on with.
        moved: Told how it goes on.

    Raises:
        RegistryError: It cannot be read, or written.
    """
    return _Copy(source, target, scratch, moved).run(name, tag, depth=0)


class _Copy:
    def __init__(self, source: Source, target: Repository, scratch: Path, moved: Moved) -> None:
        self._source = source
        self._target = target
        self._scratch = scratch
        self._moved = moved
        self._done: Dict[str, Descriptor] = {}

    def run(self, name: str, tag: str, depth: int) -> Descriptor:
        if name in self._done and not tag:
            return self._done[name]
        found, content = self._source.read_manifest(name)
        if depth > _DEEPEST or len(self._done) >= _MOST_MANIFESTS:
            raise RegistryError(
                f"{name} is nested deeper than {_DEEPEST} levels, or has more than {_MOST_MANIFESTS} parts.",
                hint="It is none of ours.",
            )
        manifest = parse_manifest(content, found.media_type)
        for child in manifest.manifests:
            self.run(child.digest, own_tag(found.digest, child), depth + 1)
        for blob in (*manifest.layers, *((manifest.config,) if manifest.config else ())):
            self._copy_blob(blob)
        self._done[found.digest] = found
        self._target.write_manifest(content, found.media_type)
        for referrer, _ in self._source.referrers(found.digest):
            self.run(referrer.digest, "", depth)
        if tag:  # last, so that whoever comes by a tag finds the signatures too
            self._target.write_manifest(content, found.media_type, tag)
        return found

    def _copy_blob(self, blob: Descriptor) -> None:
        if self._target.has_blob(blob):
            self._moved(blob.size)
            return
        path = self._scratch / blob.hex
        self._source.fetch_blob(blob, path)
        try:
            self._target.push_blob(blob, path, self._moved)
        finally:
            path.unlink()


def _is_there(path: Path, blob: Descriptor) -> bool:
    if path.is_symlink() or not path.is_file() or path.stat().st_size != blob.size:
        return False
    return describe_file(path).sha256 == blob.hex


def _refuse_links(folder: Path, files: Mapping[str, Descriptor]) -> None:
    """See that no file would be written through a link that lies in the folder."""
    for name in files:
        for part in _folders(name):
            if (folder / part).is_symlink():
                raise _unsafe(f"{name!r}, and {folder / part} is a link")


def _folders(name: str) -> List[str]:
    parts = name.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def _unsafe(what: str) -> RegistryError:
    return RegistryError(f"The artifact has {what}; it is not unpacked.", hint="Who pushed it?")
