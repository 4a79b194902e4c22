"""Dataset: the index survives a file, and pictures are read as Ultralytics reads them."""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from stages.artifact import Artifact
from stages.dataset import Dataset, Picture, load_dataset, read_picture, save_dataset
from targets.errors import DataError


def picture(file: str, content: bytes = b"", boxes: int = 2) -> Picture:
    return Picture(
        file=file,
        sha256=hashlib.sha256(content).hexdigest(),
        width=60,
        height=40,
        boxes=np.random.default_rng(0).random((boxes, 5)),
        crowd=np.arange(boxes) % 2 == 1,
    )


@pytest.fixture
def dataset() -> Dataset:
    train = tuple(picture(f"../a/{name}.jpg", boxes=count) for count, name in enumerate("äbc"))
    return Dataset(class_names=("x", "y"), train=train, val=(picture("v.jpg"),), calibration=train[1:2])


def test_an_index_survives_its_file(dataset: Dataset, tmp_path: Path) -> None:
    save_dataset(dataset, tmp_path)
    loaded = load_dataset(Artifact(tmp_path, "sha256:0"))

    assert loaded.class_names == dataset.class_names
    assert loaded.calibration == (loaded.train[1],)
    for one, other in zip((*dataset.train, *dataset.val), (*loaded.train, *loaded.val), strict=True):
        assert (one.file, one.sha256, one.width, one.height) == (
            other.file,
            other.sha256,
            other.width,
            other.height,
        )
        assert np.array_equal(one.boxes, other.boxes)
        assert np.array_equal(one.crowd, other.crowd)
        assert other.boxes.shape[1] == 5


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"schema": 2}, "has format version 2; this program reads up to 1."),
        ({"train": [{"file": "a"}]}, "cannot be read as a prepared data set"),
        ({"calibration": [9]}, "cannot be read as a prepared data set"),
        ({"val": None}, "cannot be read as a prepared data set"),
    ],
)
def test_a_broken_index_is_a_data_error(
    dataset: Dataset, tmp_path: Path, change: dict[str, object], what: str
) -> None:
    save_dataset(dataset, tmp_path)
    record = json.loads((tmp_path / "dataset.json").read_text())
    (tmp_path / "dataset.json").write_text(json.dumps(record | change))

    with pytest.raises(DataError, match=what):
        load_dataset(Artifact(tmp_path, "sha256:0"))


def test_a_picture_is_read_as_it_was_checked_or_not_at_all(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    content = bytes(cv2.imencode(".png", pixels)[1])
    (tmp_path / "a.png").write_bytes(content)
    (tmp_path / "b.png").write_bytes(content + b"more")
    (tmp_path / "c.png").write_bytes(b"none")
    pictures = Artifact(tmp_path, "sha256:0")

    assert np.array_equal(read_picture(pictures, picture("a.png", content)), pixels)
    for name, checked, what in (
        ("b.png", content, "has changed since"),
        ("c.png", b"none", "cannot be decoded"),
        ("d.png", content, "cannot be read: No such file"),
    ):
        with pytest.raises(DataError, match=what):
            read_picture(pictures, picture(name, checked))
