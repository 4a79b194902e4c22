"""A folder that travels between machines: which files it holds, and the digest of each."""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterable, Iterator, Mapping, Type

from targets.errors import EdgeboundError

_CHUNK = 1 << 20
# Names that every file system takes, a USB stick's too; no hidden file, no option, no way out of the folder.
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")


@dataclass(frozen=True)
class EngineFile:
    """One file of a folder that travels, as whoever wrote it left it.

    Attributes:
        sha256: Hex digest of its bytes.
        size: In bytes.
    """

    sha256: str
    size: int


def is_safe(name: str) -> bool:
    """Say whether a name, its parts separated by `/`, is one that may come from elsewhere."""
    return all(_PART.fullmatch(part) for part in name.split("/"))


def describe_file(path: Path) -> EngineFile:
    """Give a file's digest and size."""
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(_CHUNK), b""):
            sha256.update(chunk)
    return EngineFile(sha256.hexdigest(), path.stat().st_size)


def describe_files(folder: Path, *, but: Iterable[str]) -> Dict[str, EngineFile]:
    """Describe all files below a folder by their names, except those in `but`."""
    names = set(file_names(folder)) - set(but)
    return {name: describe_file(folder / name) for name in sorted(names)}


def file_names(folder: Path, *, beside: Iterable[str] = ()) -> Iterator[str]:
    """Give the names of all files and links below a folder; top folders in `beside` are passed by."""
    for top, folders, files in os.walk(folder):
        place = Path(top)
        if place == folder:
            folders[:] = [name for name in folders if name not in beside]
        links = [name for name in folders if (place / name).is_symlink()]
        for name in (*files, *links):
            yield (place / name).relative_to(folder).as_posix()


def check_files(
    folder: Path,
    files: Mapping[str, EngineFile],
    *,
    beside: Iterable[str] = (),
    error: Type[EdgeboundError],
    hint: str,
) -> None:
    """Hold a folder against the list of its files.

    Args:
        folder: The folder.
        files: What it is to hold.
        beside: Files, and folders at its top, that may be there too.
        error: What to raise.
        hint: What the reader of the error can do.

    Raises:
        EdgeboundError: As `error`; a name leads elsewhere, or a file is missing, changed, a link, not listed.
    """
    for name in files:
        if not is_safe(name):
            raise error(f"{folder} lists a file under the name {name!r}, which is not allowed.", hint=hint)
    beside = tuple(beside)
    strangers = sorted(set(file_names(folder, beside=beside)) - set(files) - set(beside))
    if strangers:
        more = f" and {len(strangers) - 3} more" if len(strangers) > 3 else ""
        raise error(
            f"{folder} holds {', '.join(strangers[:3])}{more}, which it does not list.",
            hint="Remove what does not belong there.",
        )
    for name, entry in files.items():
        _check(folder, name, entry, error=error, hint=hint)


def _check(folder: Path, name: str, entry: EngineFile, *, error: Type[EdgeboundError], hint: str) -> None:
    path = folder / name
    if path.is_symlink() or not path.is_file():
        raise error(f"{path} is listed, but is no file.", hint=hint)
    # The size first: it costs nothing, and nobody makes us read a file without end.
    if path.stat().st_size != entry.size or describe_file(path) != entry:
        raise error(f"{path} is not the file that {folder.name or folder} describes.", hint=hint)
