"""Transfer: a folder's files through two pipes, taken up where an earlier attempt was cut off.

```
sender    {"files": {name: [sha256, size]}}
receiver  {"have": {name: [sha256, size]}}    of what is there of each, however little
sender    {"name": name, "from": byte}        then the bytes from there on; for each file that is not whole
receiver  {"done": true}                      each file has its digest, and is in its place
```
Needs no more than Python on either side. What is there is trusted by its digest alone, so that a cut, a file
that changed in between, or a disk that lost its last blocks are mended and not copied on.
"""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Callable, Dict, Iterable, List, Mapping, Optional, Protocol, Tuple

from targets.engine import EngineFile
from targets.errors import EdgeboundError, ModelError
from targets.folder import describe_file, file_names, is_safe

Moved = Callable[[int, int], None]
"""Told how many bytes are there, of how many in all."""
Find = Callable[[EngineFile], Optional[Path]]
"""Asked for a file of this content that is here already under another name."""


class Source(Protocol):
    """Where bytes come from: a buffered pipe."""

    def read1(self, size: int, /) -> bytes:
        """Give what has come, at most so many bytes; none at the end."""

    def readline(self, limit: int, /) -> bytes:
        """Give a line, or as many bytes of it."""


_CHUNK = 256 << 10
_LINE_LIMIT = 64 << 20  # bytes; a list of files has some 100 a file


class CutError(EdgeboundError):
    """The other side is gone in the middle of a transfer."""

    def __init__(self) -> None:
        super().__init__("The transfer was cut off.", hint="The same command goes on where it was.")


def send(
    folder: Path, files: Mapping[str, EngineFile], source: Source, sink: "IO[bytes]", moved: Moved
) -> None:
    """Send files to whoever runs `receive`.

    Args:
        folder: Where they are.
        files: By name, with `/`.
        source: From the receiver.
        sink: To the receiver.
        moved: Told how it goes on.

    Raises:
        CutError: The receiver is gone.
        ModelError: A file has changed.
    """
    total = sum(entry.size for entry in files.values())
    _write_line(sink, {"files": {name: [entry.sha256, entry.size] for name, entry in files.items()}})
    have = _read_line(source)["have"]
    done = 0
    for name, entry in files.items():
        there = have.get(name)
        if there != [entry.sha256, entry.size]:
            begin = _common(folder / name, there)
            _write_line(sink, {"name": name, "from": begin})
            _send_file(folder / name, entry, begin, sink, _after(done, total, moved))
        done += entry.size
        moved(done, total)
    _flush(sink)
    _read_line(source)


@dataclass(frozen=True)
class Landing:
    """Where files are received.

    Attributes:
        folder: Where they belong. Each appears there whole.
        partial: For unfinished ones, kept from one attempt to the next; on the same file system.
        beside: Top folders that may be in `folder` too.
        find: Asked for files that need not be sent.
    """

    folder: Path
    partial: Path
    beside: Tuple[str, ...] = ()
    find: Find = lambda _: None


def receive(landing: Landing, source: Source, sink: "IO[bytes]", moved: Moved) -> None:
    """Receive files from whoever runs `send`; the folder then holds these and no others.

    Args:
        landing: Where.
        source: From the sender.
        sink: To the sender.
        moved: Told how it goes on.

    Raises:
        CutError: The sender is gone.
        ModelError: A name is not allowed, or a file arrived damaged.
    """
    folder = landing.folder
    wanted = _wanted(_read_line(source))
    have = dict(_present(landing, wanted))
    _write_line(sink, {"have": {name: [entry.sha256, entry.size] for name, entry in have.items()}})
    total = sum(entry.size for entry in wanted.values())
    done = 0
    for name, entry in wanted.items():
        if have.get(name) != entry:
            part = landing.partial / name
            _receive_file(source, name, entry, part, _after(done, total, moved))
            _put(part, folder / name)
        done += entry.size
        moved(done, total)
    for stranger in set(file_names(folder, beside=landing.beside)) - set(wanted):
        (folder / stranger).unlink()
    shutil.rmtree(str(landing.partial), ignore_errors=True)
    _write_line(sink, {"done": True})


def _present(landing: Landing, wanted: Mapping[str, EngineFile]) -> "Iterable[Tuple[str, EngineFile]]":
    for name, entry in wanted.items():
        there = _find(landing.folder / name, landing.partial / name, entry, landing.find)
        if there:
            yield name, there


def _after(done: int, total: int, moved: Moved) -> Callable[[int], None]:
    return lambda now: moved(done + now, total)


def _wanted(first: Mapping[str, Any]) -> Dict[str, EngineFile]:
    wanted = {name: EngineFile(str(sha256), int(size)) for name, (sha256, size) in first["files"].items()}
    for name in wanted:
        if not is_safe(name):
            raise ModelError(f"A file has the name {name!r}, which is not allowed.", hint="Rename it.")
    return wanted


def _find(place: Path, part: Path, entry: EngineFile, find: Find) -> Optional[EngineFile]:
    """Say what is there of a file; where one of this content is at hand, take it."""
    if _is_file(place) and place.stat().st_size == entry.size and describe_file(place) == entry:
        return entry
    alike = None if _is_file(part) else find(entry)
    if alike:
        part.parent.mkdir(parents=True, exist_ok=True)
        _link(alike, part)
        if describe_file(part) == entry:
            _put(part, place)
            return entry
        part.unlink()
    if not _is_file(part) or not 0 < part.stat().st_size <= entry.size:
        return None
    found = describe_file(part)
    if found == entry:  # cut off just before it was put into its place
        _put(part, place)
    return found


def _put(part: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    part.replace(place)


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _link(source: Path, path: Path) -> None:
    try:
        os.link(str(source), str(path))
    except OSError:  # another file system, or one without links
        shutil.copyfile(str(source), str(path))


def _common(path: Path, there: Optional[List[Any]]) -> int:
    """Give how many bytes need not be sent: all that are there, if they are those of this file."""
    if not there:
        return 0
    sha256, size = there
    begun = hashlib.sha256()
    with path.open("rb") as file:
        left = size
        while left:
            chunk = file.read(min(_CHUNK, left))
            if not chunk:
                return 0
            begun.update(chunk)
            left -= len(chunk)
    return int(size) if begun.hexdigest() == sha256 else 0


def _send_file(
    path: Path, entry: EngineFile, begin: int, sink: "IO[bytes]", moved: Callable[[int], None]
) -> None:
    with path.open("rb") as file:
        file.seek(begin)
        at = begin
        while at < entry.size:
            chunk = file.read(min(_CHUNK, entry.size - at))
            if not chunk:
                raise ModelError(f"{path} has changed while it was sent.", hint="Run the same command again.")
            _write(sink, chunk)
            at += len(chunk)
            moved(at)


def _receive_file(
    source: Source, name: str, entry: EngineFile, part: Path, moved: Callable[[int], None]
) -> None:
    order = _read_line(source)
    begin = int(order["from"])
    if order["name"] != name or not 0 <= begin <= entry.size:
        raise ModelError(f"{name} was expected, and {order['name']} came.", hint="Update both sides.")
    part.parent.mkdir(parents=True, exist_ok=True)
    with part.open("r+b" if begin else "wb") as file:
        file.truncate(begin)
        file.seek(begin)
        for at, chunk in _chunks(source, begin, entry.size):
            file.write(chunk)
            file.flush()  # what has come is there for the next attempt
            moved(at)
    if describe_file(part) != entry:
        part.unlink()
        raise ModelError(f"{name} arrived damaged.", hint="Run the same command again.")


def _chunks(source: Source, at: int, end: int) -> "Iterable[Tuple[int, bytes]]":
    while at < end:
        chunk = source.read1(min(_CHUNK, end - at))
        if not chunk:
            raise CutError
        at += len(chunk)
        yield at, chunk


def _read_line(source: Source) -> Dict[str, Any]:
    """Read the next record; a login shell may have said something before the first one."""
    while True:
        line = source.readline(_LINE_LIMIT)
        if not line.endswith(b"\n"):
            raise CutError
        if line.startswith(b"{"):
            return dict(json.loads(line))


def _write_line(sink: "IO[bytes]", record: Mapping[str, Any]) -> None:
    _write(sink, json.dumps(record).encode() + b"\n")
    _flush(sink)


def _write(sink: "IO[bytes]", content: bytes) -> None:
    try:
        sink.write(content)
    except BrokenPipeError as exc:
        raise CutError from exc


def _flush(sink: "IO[bytes]") -> None:
    try:
        sink.flush()
    except BrokenPipeError as exc:
        raise CutError from exc
