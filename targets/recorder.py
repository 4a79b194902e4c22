"""Recorder: what was looked at, with its boxes, as pictures and videos in a folder."""

from pathlib import Path
from types import TracebackType
from typing import Any, Dict, Optional, Type

import cv2

from targets.detections import Detections
from targets.drawing import draw
from targets.errors import StoreError
from targets.sources import Frame

_VIDEO = ".mp4"
_CODEC = "mp4v"  # MPEG-4 part 2: in every build of OpenCV, read by every player


class Recorder:
    """Writes into a folder; pictures under their own names, the frames of a video or camera as one video."""

    def __init__(self, folder: Path) -> None:
        """Make the folder.

        Raises:
            StoreError: It cannot be made.
        """
        self._folder = folder
        self._videos: Dict[str, Any] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise StoreError(f"{folder} cannot be made: {exc}", hint="Name another folder.") from exc

    def __enter__(self) -> "Recorder":  # noqa: PYI034  (typing.Self is of Python 3.11)
        return self

    def __exit__(
        self,
        kind: "Optional[Type[BaseException]]",
        value: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        for video in self._videos.values():
            video.release()

    def add(self, frame: Frame, found: Detections) -> None:
        """Draw and write.

        Raises:
            StoreError: It cannot be written.
        """
        drawn = draw(frame.picture, found)
        if frame.fps:
            self._video(frame).write(drawn)
            return
        path = self._folder / frame.name
        try:
            written = cv2.imwrite(str(path), drawn)
        except cv2.error:
            written = False
        if not written:
            raise StoreError(f"{path} cannot be written.", hint="Is the disk full, or the folder read-only?")

    def _video(self, frame: Frame) -> Any:
        if frame.name not in self._videos:
            height, width = frame.picture.shape[:2]
            path = self._folder / f"{_plain(Path(frame.name).stem)}{_VIDEO}"
            video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*_CODEC), frame.fps, (width, height))
            if not video.isOpened():
                raise StoreError(
                    f"{path} cannot be written as a video.",
                    hint=f"This OpenCV may lack the codec {_CODEC}; the wheel from PyPI has it.",
                )
            self._videos[frame.name] = video
        return self._videos[frame.name]


def _plain(name: str) -> str:
    """Give a name that no path or address can hide in."""
    return "".join(one if one.isalnum() or one in "-_." else "_" for one in name) or "video"
