"""Switch: releases side by side in a folder, and the links that say which one is used.

```
DIR/current  -> releases/<hex>   what is used; switched by one rename, so there is always one
DIR/previous -> releases/<hex>   what was used before
DIR/releases/<hex>/              whole from the moment that it is there; <hex> begins its manifest's digest
DIR/.incoming/<hex>/             on its way
DIR/.trash/<hex>/                on its way out
DIR/.lock                        held by the one process that changes all this
```
"""

import contextlib
import fcntl
import os
import shutil
from pathlib import Path
from typing import Iterator

from targets.errors import RegistryError
from targets.registry.disk import explained
from targets.release.place import CURRENT, PREVIOUS, RELEASES, linked

INCOMING = ".incoming"
TRASH = ".trash"
_LOCK = ".lock"


def short(digest: str) -> str:
    """Give the name of a release's folder."""
    return digest[len("sha256:") :][:16]


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make a folder for releases, and give a context in which no other process changes it.

    Raises:
        RegistryError: Another one does at this moment, or a part of the folder is a link.
    """
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        lock = os.open(str(folder / _LOCK), flags, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise RegistryError(
                f"Another process is changing {folder} at this moment.", hint="Wait until it has ended."
            ) from exc
        with explained(folder):
            for name in (RELEASES, INCOMING, TRASH):
                _make_folder(folder / name)
        yield
    finally:
        os.close(lock)


def install(folder: Path, incoming: Path, name: str) -> None:
    """Put a release, all of whose files are synced, where it can be linked to.

    One of that name which is there is damaged, and goes.
    """
    place = folder / RELEASES / name
    with explained(folder):
        if os.path.lexists(str(place)):
            discard(folder, place)
        incoming.rename(place)
        sync_folder(folder / RELEASES)


def switch_to(folder: Path, name: str) -> str:
    """Make a release the current one, and that which was it the previous one; give the latter's name."""
    before = linked(folder, CURRENT)
    if before and before != name:
        _point(folder, PREVIOUS, before)
    if before != name:
        _point(folder, CURRENT, name)
    return before


def switch_back(folder: Path) -> None:
    """Make the previous release the current one, and the other way round."""
    before, wanted = linked(folder, CURRENT), linked(folder, PREVIOUS)
    _point(folder, CURRENT, wanted)  # first: cut off in between, the wish is done
    if before:
        _point(folder, PREVIOUS, before)


def prune(folder: Path) -> None:
    """Remove all releases that no link leads to, and whatever was left on its way in or out."""
    kept = {linked(folder, CURRENT), linked(folder, PREVIOUS)}
    with explained(folder):
        for path in sorted((folder / RELEASES).iterdir()):
            if path.name not in kept:
                discard(folder, path)
    clear(folder)


def clear(folder: Path, *, but: str = "") -> None:
    """Remove what was left on its way in or out, but for one release: its room may be needed."""
    with explained(folder):
        for place in (INCOMING, TRASH):
            for path in sorted((folder / place).iterdir()):
                if path.name != but:
                    _remove(path)


def discard(folder: Path, path: Path) -> None:
    """Remove something so that no half of it is seen where it was."""
    trash = folder / TRASH / path.name
    _remove(trash)
    path.rename(trash)
    _remove(trash)


def sync(folder: Path) -> None:
    """See that a folder and all in it survive a power cut."""
    with explained(folder):
        for top, _, files in os.walk(str(folder), topdown=False):
            for name in files:
                _sync(Path(top) / name, os.O_RDONLY)
            sync_folder(Path(top))


def sync_folder(folder: Path) -> None:
    """See that the names in a folder survive a power cut."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(str(path), flags | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _point(folder: Path, link: str, name: str) -> None:
    temporary = folder / f".{link}.new"
    with explained(folder):
        _remove(temporary)
        temporary.symlink_to(f"{RELEASES}/{name}")
        temporary.replace(folder / link)
        sync_folder(folder)


def _make_folder(path: Path) -> None:
    if path.is_symlink():
        raise RegistryError(
            f"{path} is a link; nothing is written through it.", hint="Take it away, and pull again."
        )
    path.mkdir(exist_ok=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(str(path))
    elif os.path.lexists(str(path)):
        path.unlink()
