"""Registry: OCI artifacts pushed to and pulled from registries, folders and archives.

`open_source` and `open_repository` give what a reference names; `artifact` gets files out and puts them in.
HTTP and TLS are loaded only where a registry is spoken to: a device that opens an engine looks at signatures,
for which it needs `content` alone, and starts 0.1 s sooner.
"""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Iterator

from targets.errors import UsageError

if TYPE_CHECKING:
    from targets.registry.access import Access
    from targets.registry.reference import Reference
    from targets.registry.repository import Repository, Source


@contextlib.contextmanager
def open_source(reference: "Reference", access: "Access") -> "Iterator[Source]":
    """Give what a reference names, to read from; for one thread at a time.

    Raises:
        RegistryError: An archive cannot be read. Registries and folders are first looked at when used.
    """
    if reference.kind == "archive":
        from targets.registry.layout import Layout
        from targets.registry.layout_archive import Archive

        yield Layout(Archive(Path(reference.place)))
        return
    with open_repository(reference, access) as repository:
        yield repository


@contextlib.contextmanager
def open_repository(reference: "Reference", access: "Access") -> "Iterator[Repository]":
    """Give what a reference names, to read and write; for one thread at a time.

    Raises:
        UsageError: It is an archive.
    """
    if reference.kind == "archive":
        raise UsageError(f"{reference} can only be read.", hint="Name a folder: oci:folder:tag.")
    if reference.kind == "folder":
        from targets.registry.layout_folder import LayoutFolder

        yield LayoutFolder(Path(reference.place))
        return
    from targets.registry.remote import Remote

    remote = Remote(reference, access)
    try:
        yield remote
    finally:
        remote.close()
