"""Where pictures come from: a file, a folder, a video, a camera or a stream.

A camera does not wait. Its frames go through a short queue, and the oldest is dropped when the queue is full,
so that what is looked at is never older than the queue is long. Files wait, and lose nothing.
"""

import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Deque, Iterable, Iterator, List, Optional, Union

import cv2
import numpy as np

from targets.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

PICTURES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
QUEUE = 2  # one frame while the last is being looked at, one in reserve
_USUAL_FPS = 30.0  # of a source that does not say
_STREAMS = ("rtsp://", "rtmp://", "http://", "https://", "udp://")


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a source.

    Attributes:
        name: Of its file, of the video, or of the camera.
        picture: (H, W, 3), uint8, BGR.
        number: Place in the source, from 0; dropped frames count.
        dropped: Frames that were dropped so far.
        fps: Frames a second of its video, or of its camera where that says so; 0 for a picture.
    """

    name: str
    picture: "NDArray[np.uint8]"
    number: int
    dropped: int = 0
    fps: float = 0.0


def is_live(source: Union[str, int, Path]) -> bool:
    """Say whether a source does not wait: a camera's number, or a stream's address."""
    return str(source).isdigit() or str(source).startswith(_STREAMS)


@contextmanager
def open_source(
    source: Union[str, int, Path],
    *,
    live: Optional[bool] = None,
    queue: int = QUEUE,
    on_broken: "Optional[Callable[[DataError], None]]" = None,
) -> "Iterator[Iterable[Frame]]":
    """Open a source; the context gives its frames.

    Args:
        source: A picture, a folder of pictures, a video, a camera by its number, or a stream by its address.
        live: It does not wait, so that frames are dropped if need be; by default cameras and streams are.
        queue: Frames of a live source that may wait.
        on_broken: Told of a picture in a folder that cannot be read, which is then left out; without it that
            is an error.

    Raises:
        DataError: It is not there, is empty, or cannot be read.
    """
    path = Path(str(source))
    if not is_live(source) and not path.exists():
        raise DataError(
            f"{source} is not there.", hint="Give a picture, a folder, a video, or a camera's number."
        )
    if not is_live(source) and (path.is_dir() or path.suffix.lower() in PICTURES):
        yield _pictures(_listed(path), on_broken)
        return
    capture = _capture(source)
    try:
        if is_live(source) if live is None else live:
            with _Live(capture, str(source), queue) as frames:
                yield frames
        else:
            yield _in_order(capture, path.name)
    finally:
        capture.release()


def _listed(path: Path) -> List[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(one for one in path.rglob("*") if one.suffix.lower() in PICTURES)
    if not found:
        raise DataError(
            f"There is no picture in {path}.", hint=f"Pictures end in {', '.join(sorted(PICTURES))}."
        )
    return found


def _pictures(paths: List[Path], on_broken: "Optional[Callable[[DataError], None]]") -> Iterator[Frame]:
    for number, path in enumerate(paths):
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is not None:
            yield Frame(path.name, picture, number)
            continue
        error = DataError(f"{path} cannot be read as a picture.", hint="Remove it, or copy it again.")
        if on_broken is None:
            raise error
        on_broken(error)


def _capture(source: Union[str, int, Path]) -> Any:
    text = str(source)
    capture = cv2.VideoCapture(int(text)) if text.isdigit() else cv2.VideoCapture(text)
    if not capture.isOpened():
        what = f"Camera {text}" if text.isdigit() else text
        raise DataError(
            f"{what} cannot be opened.",
            hint="Is it in use, or of a format that this OpenCV cannot read? `ffprobe` tells of a video.",
        )
    return capture


def _fps(capture: Any) -> float:
    return float(capture.get(cv2.CAP_PROP_FPS)) or _USUAL_FPS


def _in_order(capture: Any, name: str) -> Iterator[Frame]:
    number, fps = 0, _fps(capture)
    while True:
        there, picture = capture.read()
        if not there:
            break
        yield Frame(name, picture, number, fps=fps)
        number += 1
    if not number:
        raise DataError(
            f"{name} has no frame that can be read.", hint="`ffprobe` tells what is wrong with it."
        )


class _Live:
    """Reads a source as fast as it comes, in a thread of its own; iterating gives the frames that wait."""

    def __init__(self, capture: Any, name: str, queue: int) -> None:
        self._capture = capture
        self._name = name
        self._waiting: Deque[Frame] = deque(maxlen=queue)
        self._changed = threading.Condition()
        self._dropped = 0
        self._ended = False
        self._thread = threading.Thread(target=self._read, name="edgebound-source", daemon=True)

    def __enter__(self) -> "_Live":  # noqa: PYI034  (typing.Self is of Python 3.11)
        self._thread.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._ended = True
        self._thread.join()

    def __iter__(self) -> Iterator[Frame]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended)
                if not self._waiting:
                    return
                frame, dropped = self._waiting.popleft(), self._dropped
            yield replace(frame, dropped=dropped)

    def _read(self) -> None:
        number, fps = 0, _fps(self._capture)
        while not self._ended:
            there, picture = self._capture.read()
            with self._changed:
                if there:
                    self._dropped += len(self._waiting) == self._waiting.maxlen
                    self._waiting.append(Frame(self._name, picture, number, fps=fps))
                else:
                    self._ended = True
                self._changed.notify()
            number += 1
