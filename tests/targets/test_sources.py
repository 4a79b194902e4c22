"""Where pictures come from: files wait, live sources drop."""

import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from targets.errors import DataError
from targets.sources import is_live, open_source

FRAMES = 12


def shade(number: int) -> np.ndarray:
    return np.full((48, 64, 3), 20 * number, np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), shade(number))
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (64, 48))
    for number in range(FRAMES):
        writer.write(shade(number))
    writer.release()
    return path


def number_in(picture: np.ndarray) -> int:
    return round(float(picture.mean()) / 20)


def test_a_folder_gives_its_pictures_in_order_of_their_names(folder: Path) -> None:
    with open_source(folder) as frames:
        seen = [(frame.name, number_in(frame.picture), frame.number, frame.fps) for frame in frames]

    assert seen == [("0.png", 0, 0, 0.0), ("1.png", 1, 1, 0.0), ("2.png", 2, 2, 0.0)]


def test_a_single_picture_is_a_source_too(folder: Path) -> None:
    with open_source(folder / "2.png") as frames:
        assert [number_in(frame.picture) for frame in frames] == [2]


def test_a_broken_picture_is_an_error_or_left_out_and_told(folder: Path) -> None:
    (folder / "1.png").write_bytes(b"not a picture")
    told: list[DataError] = []

    with open_source(folder, on_broken=told.append) as frames:
        assert [number_in(frame.picture) for frame in frames] == [0, 2]
    with open_source(folder) as frames, pytest.raises(DataError, match=r"1\.png cannot be read"):
        list(frames)
    assert [error.what for error in told] == [f"{folder / '1.png'} cannot be read as a picture."]


def test_a_video_gives_every_frame_however_slow_one_looks(video: Path) -> None:
    seen = []
    with open_source(video) as frames:
        for frame in frames:
            time.sleep(0.01)
            seen.append((number_in(frame.picture), frame.dropped))

    assert seen == [(number, 0) for number in range(FRAMES)]


def test_a_live_source_drops_the_oldest_and_counts_them(video: Path) -> None:
    seen = []
    with open_source(video, live=True, queue=2) as frames:
        while any(one.name == "edgebound-source" for one in threading.enumerate()):
            time.sleep(0.01)  # until all have come, and nobody has looked
        seen = [(frame.number, number_in(frame.picture), frame.dropped) for frame in frames]

    assert seen == [(FRAMES - 2, FRAMES - 2, FRAMES - 2), (FRAMES - 1, FRAMES - 1, FRAMES - 2)]


def test_leaving_a_live_source_early_ends_its_thread(video: Path) -> None:
    with open_source(video, live=True) as frames:
        next(iter(frames))

    assert "edgebound-source" not in {one.name for one in threading.enumerate()}


@pytest.mark.parametrize(
    ("source", "live"), [("0", True), (1, True), ("rtsp://camera/1", True), ("a.mp4", False)]
)
def test_cameras_and_streams_are_live(source: str | int, live: bool) -> None:
    assert is_live(source) is live


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not there"), open_source(tmp_path / "none.mp4"):
        pass


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no picture in"), open_source(tmp_path):
        pass


def test_a_file_that_is_no_video_is_told(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"no film")

    with pytest.raises(DataError, match="cannot be opened"), open_source(tmp_path / "film.mp4"):
        pass


def test_a_camera_that_is_not_there_is_told() -> None:
    with pytest.raises(DataError, match="Camera 97 cannot be opened"), open_source("97"):
        pass
