"""Ultralytics' view of a data set: it reads there the very pictures and boxes that we read."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from stages.artifact import Artifact, walk
from stages.data import Data, DataInputs
from stages.data.source import anchor
from stages.dataset import Dataset, load_dataset, read_picture
from stages.stage import no_progress
from stages.yolo_tree import write_ultralytics_tree

LABEL = "0 0.5 0.5 0.3333333 0.5\n1 0.25 0.25 0.125 0.25\n"


def save(path: Path, seed: int, **options: Any) -> None:
    """Write a picture of 60 x 40 with blocks of colour, and its label."""
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(cv2.resize(blocks, (60, 40), interpolation=cv2.INTER_CUBIC)).save(path, **options)
    label = Path(str(path).replace("/images/", "/labels/")).with_suffix(".txt")
    label.parent.mkdir(parents=True, exist_ok=True)
    label.write_text(LABEL)


@pytest.fixture
def user(tmp_path: Path) -> Path:
    """Give a data folder with pictures of all orientations, formats and odd places, one outside."""
    root = tmp_path / "user"
    for turn in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = turn
        save(root / f"images/train/{turn}.jpg", turn, exif=exif)
    for seed, name in enumerate(("a.png", "b.webp", "c.bmp", "d.tif", "e.JPG", "f.x.jpeg", "ü g.jpg"), 10):
        save(root / f"images/train/{name}", seed)
    save(root / "images/train/more/1.jpg", 20)
    save(root / "images/train/images/1.jpg", 21)
    save(root / "images/val/1.jpg", 30)
    save(tmp_path / "outside/images/1.jpg", 31)
    (root / "data.yaml").write_text(
        "train: images/train\nval: [images/val, ../outside/images]\nnames: [bolt, nut]\n"
    )
    return root


def prepare(root: Path, out: Path) -> tuple[Dataset, Artifact]:
    anchored = anchor(Data(path="data.yaml"), root)
    out.mkdir()
    prepared = anchored.data.run(DataInputs(source=anchored.source), out, no_progress)
    return load_dataset(prepared.index), anchored.source


def read_by_ultralytics(data: Path, split: str) -> list[tuple[NDArray[np.uint8], NDArray[np.float64]]]:
    """Give pictures as BGR, and boxes."""
    from ultralytics.data.utils import check_det_dataset

    from stages.yolo import YOLODataset

    record = check_det_dataset(str(data))
    dataset = YOLODataset(img_path=record[split], imgsz=60, augment=False, data=record, task="detect")
    return [
        (dataset.load_image(place)[0], np.hstack([label["cls"], label["bboxes"]]))
        for place, label in enumerate(dataset.labels)
    ]


def test_ultralytics_reads_the_same_pictures_and_boxes_in_the_same_order(user: Path, tmp_path: Path) -> None:
    dataset, pictures = prepare(user, tmp_path / "out")
    data = write_ultralytics_tree(dataset, pictures, tmp_path / "tree")

    for split, ours in (("train", dataset.train), ("val", dataset.val)):
        theirs = read_by_ultralytics(data, split)
        assert len(theirs) == len(ours)
        for one, (pixels, boxes) in zip(ours, theirs, strict=True):
            assert np.array_equal(read_picture(pictures, one), pixels), one.file
            assert boxes == pytest.approx(one.boxes, abs=1e-7), one.file


def test_ultralytics_writes_into_the_tree_only(user: Path, tmp_path: Path) -> None:
    dataset, pictures = prepare(user, tmp_path / "out")
    trailing = user / "images/val/1.jpg"  # Ultralytics "restores" a JPEG that has anything behind its end
    trailing.write_bytes(trailing.read_bytes() + b"\0\0")
    before = {name: file.read_bytes() for name, file in walk(tmp_path / "user")}

    data = write_ultralytics_tree(dataset, pictures, tmp_path / "tree")
    read_by_ultralytics(data, "val")

    assert {name: file.read_bytes() for name, file in walk(tmp_path / "user")} == before
    assert (tmp_path / "tree/labels/val.cache").is_file()


def test_a_tree_written_again_holds_nothing_of_the_old_one(user: Path, tmp_path: Path) -> None:
    dataset, pictures = prepare(user, tmp_path / "out")
    data = write_ultralytics_tree(dataset, pictures, tmp_path / "tree")
    (tmp_path / "tree/labels/val.cache").write_text("old")
    (tmp_path / "tree/images/train/999999.jpg").write_text("old")

    assert write_ultralytics_tree(dataset, pictures, tmp_path / "tree") == data
    assert "old" not in {
        file.read_text() for name, file in walk(tmp_path / "tree") if name.endswith((".cache", "999999.jpg"))
    }


def test_crowds_are_left_out(tmp_path: Path, user: Path) -> None:
    dataset, pictures = prepare(user, tmp_path / "out")
    dataset.val[0].crowd[0] = True

    write_ultralytics_tree(dataset, pictures, tmp_path / "tree")

    assert (tmp_path / "tree/labels/val/000000.txt").read_text() == "1 0.25 0.25 0.125 0.25\n"
