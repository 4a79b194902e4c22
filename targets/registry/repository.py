"""Repository: the one interface to registries, OCI layout folders, and archives of these."""

from pathlib import Path
from typing import Callable, Iterator, List, Protocol, Tuple, Union

from targets.registry.content import Descriptor

Content = Union[bytes, Path]
Moved = Callable[[int], None]
"""Told how many further bytes have come or gone."""

Transfer = Callable[[str, int], Moved]
"""Told what is about to move, and its size in bytes; gives what is to be told how it goes on."""


def unheard(_: int) -> None:
    """Say nothing of what has moved."""


def unseen(_: str, __: int) -> Moved:
    """Watch no transfer."""
    return unheard


class Source(Protocol):
    """Where manifests and blobs are read.

    Whatever is given has the digest that was asked for. All methods raise RegistryError.
    """

    def read_manifest(self, name: str) -> Tuple[Descriptor, bytes]:
        """Give the manifest or index of a tag or digest.

        Raises:
            NotFoundError: There is none.
        """

    def has_blob(self, blob: Descriptor) -> bool:
        """Say whether a blob is there."""

    def read_blob(self, blob: Descriptor) -> bytes:
        """Give a small blob.

        Raises:
            NotFoundError: It is not there.
        """

    def fetch_blob(self, blob: Descriptor, path: Path, moved: Moved = unheard) -> None:
        """Write a blob to a file, which appears whole. An earlier attempt is gone on with.

        Raises:
            NotFoundError: It is not there.
            DiskFullError: There is no room for it.
        """

    def tags(self) -> List[str]:
        """Give all tags, sorted."""

    def referrers(self, digest: str) -> Iterator[Tuple[Descriptor, bytes]]:
        """Give the manifests whose subject is a digest: signatures, reports and the like.

        Their artifact types and annotations are those that they state themselves.
        """


class Repository(Source, Protocol):
    """Where manifests and blobs are read and written."""

    def write_manifest(self, content: bytes, media_type: str, tag: str = "") -> Descriptor:
        """Put a manifest or index, all of whose blobs are there; with a tag, the tag then leads to it."""

    def push_blob(
        self, blob: Descriptor, content: Content, moved: Moved = unheard, mount_from: str = ""
    ) -> None:
        """Put a blob, unless it is there.

        Args:
            blob: What it is.
            content: Its bytes, or the file that has them.
            moved: Told how it goes on.
            mount_from: Another repository of the same registry that may have it.
        """
