"""Archives: kits and receipts as one zip file, for people who carry them by hand."""

import errno
import stat
import zipfile
from pathlib import Path
from typing import IO, List, Optional

from targets.errors import DiskFullError, ModelError
from targets.folder import file_names, is_safe

MAX_FILES = 1_000_000
MAX_BYTES = 64 << 30  # COCO's 5,000 validation pictures and a dozen of the largest engines are 3 GiB
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can say
_CHUNK = 1 << 20
_HINT = "Let the agent, or `pipeline kit`, write it again, and copy it as it is."


def pack(folder: Path, archive: Path) -> None:
    """Write all files of a folder into one zip file; equal folders give equal bytes.

    Nothing is compressed: pictures and engines hardly shrink, and a compressor's bytes depend on its version.

    Raises:
        DiskFullError: There is no room for it.
    """
    fresh = archive.with_name(f".{archive.name}.part")
    try:
        with zipfile.ZipFile(fresh, "w", zipfile.ZIP_STORED) as file:
            for name in sorted(file_names(folder)):
                add(file, name, folder / name)
        fresh.replace(archive)
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(
                f"The disk that holds {archive} is full.",
                hint="Free some space and run the same command again.",
            ) from exc
        raise
    finally:
        if fresh.exists():
            fresh.unlink()


def add(archive: zipfile.ZipFile, name: str, source: Path) -> None:
    """Add a file without what its file system knows of it."""
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.create_system = 3  # Unix, whoever writes
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    entry.file_size = source.stat().st_size  # so that it knows when it needs zip64
    with source.open("rb") as content, archive.open(entry, "w") as out:
        _copy(content, out, most=None)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip file from elsewhere into a new folder.

    Raises:
        ModelError: It is no zip file, is broken, or holds what it must not: names that lead elsewhere, links,
            a name twice, files larger than they say.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            entries = [entry for entry in file.infolist() if not entry.is_dir()]
            _refuse(archive, entries)
            for entry in entries:
                _extract(file, entry, folder / entry.filename)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as exc:
        raise ModelError(f"{archive} cannot be read as a zip file: {exc}", hint=_HINT) from exc
    except zipfile.LargeZipFile as exc:
        raise ModelError(f"{archive} is too large: {exc}", hint=_HINT) from exc


def _refuse(archive: Path, entries: List[zipfile.ZipInfo]) -> None:
    names = [entry.filename for entry in entries]
    problem = ""
    unsafe = [name for name in names if not is_safe(name)]
    links = [entry.filename for entry in entries if not _is_plain(entry)]
    folded = {name.lower() for name in names}  # as file systems of Windows and macOS see them
    if unsafe:
        problem = f"a file under the name {unsafe[0]!r}"
    elif links:
        problem = f"{links[0]}, which is no plain file"
    elif len(folded) != len(names):
        problem = "the same name twice"
    elif len(names) > MAX_FILES or sum(entry.file_size for entry in entries) > MAX_BYTES:
        problem = f"more than {MAX_FILES} files or {MAX_BYTES >> 30} GiB"
    if problem:
        raise ModelError(f"{archive} holds {problem}; it is not unpacked.", hint=_HINT)


def _is_plain(entry: zipfile.ZipInfo) -> bool:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    return kind in (0, stat.S_IFREG)  # 0: written by what knows no Unix


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as content, path.open("xb") as out:
        _copy(content, out, most=entry.file_size)


def _copy(source: "IO[bytes]", out: "IO[bytes]", *, most: Optional[int]) -> None:
    """Copy; no more than a file says it has, whatever its compressed form grows into."""
    done = 0
    for chunk in iter(lambda: source.read(_CHUNK), b""):
        done += len(chunk)
        if most is not None and done > most:
            raise zipfile.BadZipFile("a file is larger than it says")
        out.write(chunk)
