"""What was looked at, with its boxes drawn."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from targets.detections import Detections, Times
from targets.drawing import draw
from targets.errors import StoreError
from targets.recorder import Recorder
from targets.sources import Frame, open_source

GREY = np.full((120, 160, 3), 90, np.uint8)


def found(*rows: tuple[float, ...]) -> Detections:
    return Detections(np.array(rows, np.float32).reshape(-1, 6), ("hole", "stain"), Times(1, 2, 3))


def test_a_box_is_drawn_around_its_object_and_nowhere_else() -> None:
    drawn = draw(GREY, found((60, 60, 100, 100, 0.9, 0)))
    changed = (drawn != GREY).any(axis=2)

    assert changed[60, 60:100].all()
    assert changed[60:100, 100].all()
    assert not changed[70:95, 70:95].any()
    assert not changed[110:].any()
    assert (GREY == 90).all()


def test_classes_have_colours_of_their_own() -> None:
    edges = [draw(GREY, found((60, 60, 100, 100, 0.9, place)))[80, 100].tolist() for place in (0, 1)]

    assert edges[0] != edges[1]


def test_a_label_stays_within_the_picture() -> None:
    drawn = draw(GREY, found((150, 0, 160, 10, 0.9, 0)))

    assert drawn.shape == GREY.shape
    assert (drawn != GREY).any()


def test_pictures_keep_their_names_and_videos_their_length(tmp_path: Path) -> None:
    with Recorder(tmp_path / "seen") as recorder:
        recorder.add(Frame("one.png", GREY, 0), found((10, 10, 50, 50, 0.9, 0)))
        for number in range(5):
            recorder.add(Frame("rtsp://camera/1", GREY, number, fps=10.0), found())

    assert sorted(path.name for path in (tmp_path / "seen").iterdir()) == ["1.mp4", "one.png"]
    assert cv2.imread(str(tmp_path / "seen" / "one.png")).shape == GREY.shape
    with open_source(tmp_path / "seen" / "1.mp4") as frames:
        assert sum(1 for _ in frames) == 5


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StoreError, match="cannot be made"):
        Recorder(tmp_path / "file" / "seen")


def test_a_picture_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder, pytest.raises(StoreError, match="cannot be written"):
        recorder.add(Frame("one.xyz", GREY, 0), found())
