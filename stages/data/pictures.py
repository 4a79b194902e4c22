"""Pictures: every file of a data set read once, checked and measured."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.data.labels import Labels
from stages.dataset import decode_picture
from stages.stage import Progress

MIN_SIDE_PX = 10  # Ultralytics silently leaves out what is smaller
# Ultralytics reads these through another library, which turns some of them differently, or not at all.
_UNLIKE = (".avif", ".dng", ".heic", ".heif")
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # not: an escaped 0xff, a restart, a fill byte
_NO_LENGTH = frozenset(b"\x01\xd8")  # TEM, SOI
_END = 0xD9


@dataclass(frozen=True, kw_only=True)
class Item:
    """A picture to read.

    Attributes:
        path: Absolute.
        labels: Gives what is on it, once called.
        size: Width and height that its labels were drawn for, in pixels; None if they are fractions.
    """

    path: str
    labels: Callable[[], Labels]
    size: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Read:
    """A picture that was read.

    Attributes:
        path: Absolute.
        labels: What is on it.
        problems: What is wrong with picture and labels; the other fields then mean nothing.
        sha256: Of the file's bytes, in hex.
        width: In pixels, turned as EXIF says.
        height: In pixels, likewise.
        look: What `stages.data.duplicates` compares.
    """

    path: str
    labels: Labels
    problems: tuple[str, ...] = ()
    sha256: str = ""
    width: int = 0
    height: int = 0
    look: NDArray[np.float32]


def read_all(
    items: Sequence[Item], look: Callable[[NDArray[np.uint8]], NDArray[np.float32]], progress: Progress
) -> list[Read]:
    """Read all pictures, on all cores: OpenCV lets go of the interpreter lock.

    Args:
        items: To read.
        look: Makes `Read.look` from the pixels (H, W, 3).
        progress: Told the number of pictures read.
    """
    found = []
    with _quiet(), ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for read in pool.map(lambda item: _read(item, look), items):
            found.append(read)
            progress(len(found), len(items), "reading pictures")
    return found


def _read(item: Item, look: Callable[[NDArray[np.uint8]], NDArray[np.float32]]) -> Read:
    labels = item.labels()
    try:
        content = Path(item.path).read_bytes()
        pixels = _decode(item, content)
    except OSError as exc:
        return _broken(item, labels, f"cannot be read: {exc.strerror}")
    except ValueError as exc:
        return _broken(item, labels, str(exc))
    return Read(
        path=item.path,
        labels=labels,
        problems=labels.problems,
        sha256=hashlib.sha256(content).hexdigest(),
        width=pixels.shape[1],
        height=pixels.shape[0],
        look=look(pixels),
    )


def _broken(item: Item, labels: Labels, text: str) -> Read:
    problems = (f"{item.path}: {text}", *labels.problems)
    return Read(path=item.path, labels=labels, problems=problems, look=np.empty(0, np.float32))


def _decode(item: Item, content: bytes) -> NDArray[np.uint8]:
    """Give the pixels (H, W, 3), or say in a ValueError why there are none to be trusted."""
    if item.path.lower().endswith(_UNLIKE):
        raise ValueError("a format that is not supported; convert it to JPEG or PNG")
    if content.startswith(b"\xff\xd8") and not is_whole_jpeg(content):
        raise ValueError("truncated JPEG")
    pixels = decode_picture(content)
    if pixels is None:
        raise ValueError("does not decode as a picture")
    height, width = pixels.shape[:2]
    if min(width, height) < MIN_SIDE_PX:
        raise ValueError(f"{width} x {height} pixels; {MIN_SIDE_PX} a side is the least")
    if item.size not in {None, (width, height)}:
        raise ValueError(f"{width} x {height} pixels, but its annotations say {item.size}")
    return pixels


def is_whole_jpeg(content: bytes) -> bool:
    """Tell whether a JPEG reaches its end marker; some versions of OpenCV fill up what is missing with grey.

    Goes from segment to segment, as the thumbnail in one of them has an end marker of its own, and as
    cameras write more behind the end.
    """
    at = 0
    while marker := _MARKER.search(content, at):
        kind = content[marker.start() + 1]
        at = marker.end()
        if kind == _END:
            return True
        if kind not in _NO_LENGTH:
            at += int.from_bytes(content[at : at + 2], "big")
    return False


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep OpenCV from writing about broken files to stderr: we report them."""
    logging = cv2.utils.logging
    level = logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        logging.setLogLevel(level)
