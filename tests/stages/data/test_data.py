"""Data: good data sets become an index, bad ones an error with everything that is wrong."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from stages.artifact import walk
from stages.data import Data, DataInputs, Prepared
from stages.data.source import anchor
from stages.dataset import load_dataset, read_picture
from stages.stage import no_progress
from targets.errors import DataError

REMEDY = "raise train.imgsz, or cut the pictures into tiles."


def prepare(path: Path, out: Path, data: Data | None = None) -> Prepared:
    data = replace(data or Data(), path=path.name)
    anchored = anchor(data, path.parent)
    out.mkdir()
    return anchored.data.run(DataInputs(source=anchored.source), out, no_progress)


def problems(path: Path, out: Path, data: Data | None = None) -> str:
    with pytest.raises(DataError) as caught:
        prepare(path, out, data)
    assert not any(out.iterdir()), "nothing half-written"
    return caught.value.what.replace(f"{path.parent}/", "")


def states(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {name: (file.read_bytes(), file.stat().st_mtime_ns) for name, file in walk(folder)}


def test_a_good_data_set_becomes_an_index(folder: Path, tmp_path: Path) -> None:
    prepared = prepare(folder / "data.yaml", tmp_path / "out")
    dataset = load_dataset(prepared.index)

    assert dataset.class_names == ("bolt", "nut")
    assert [picture.file for picture in dataset.train] == [f"images/train/{n}.jpg" for n in range(6)]
    assert [picture.file for picture in dataset.val] == [f"images/val/{n}.jpg" for n in range(6, 9)]
    assert (dataset.val[0].width, dataset.val[0].height) == (128, 96)
    assert dataset.val[0].boxes.tolist() == [[0, 0.5, 0.5, 0.25, 0.5], [1, 0.25, 0.25, 0.125, 0.25]]
    assert (prepared.train_pictures, prepared.val_pictures, prepared.calibration_pictures) == (6, 3, 6)
    assert prepared.notes == ()


def test_nothing_is_written_into_the_users_folder(folder: Path, tmp_path: Path) -> None:
    before = states(folder)

    prepare(folder / "data.yaml", tmp_path / "out")

    assert states(folder) == before


def test_the_same_data_elsewhere_gives_the_same_artifacts(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")

    here = prepare(folder / "data.yaml", tmp_path / "out")
    there = prepare(tmp_path / "copy" / "data.yaml", tmp_path / "out2")

    assert here.index.digest == there.index.digest
    assert here.pictures_digest == there.pictures_digest


def test_all_that_is_wrong_is_reported_at_once(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "images/train/0.jpg").read_bytes()
    (folder / "images/train/0.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "images/train/1.jpg").write_text("no picture")
    (folder / "images/train/2.jpg").write_bytes(b"")
    (folder / "labels/train/3.txt").write_text("bolt 0.5 0.5 0.1 0.1\n")
    (folder / "labels/train/4.txt").write_text("0 0.5 0.5 0.1 0.1\n0 nan 0.5 0.1 0.1\n")
    (folder / "labels/train/5.txt").write_text("2 0.5 0.5 0.1 0.1\n")
    (folder / "labels/val/6.txt").write_text("0 0.9 0.5 0.4 0.1\n")

    what = problems(folder / "data.yaml", tmp_path / "out")

    assert what.splitlines() == [
        "images/train/0.jpg: truncated JPEG",
        "images/train/1.jpg: does not decode as a picture",
        "images/train/2.jpg: does not decode as a picture",
        "labels/train/3.txt:1: 'bolt' is not a number",
        "labels/train/4.txt:2: 'nan' is not a finite number",
        "labels/train/5.txt:1: class 2 is out of range; there are 2 classes, 0 to 1",
        "labels/val/6.txt:1: box outside the picture, x from 0.7 to 1.1; fractions, 0 to 1, are expected",
    ]


def test_of_many_problems_the_first_twenty_are_shown(folder: Path, tmp_path: Path) -> None:
    (folder / "labels/train/3.txt").write_text("x\n" * 50)

    lines = problems(folder / "data.yaml", tmp_path / "out").splitlines()

    assert len(lines) == 21
    assert lines[-1] == "… and 30 more."


def test_a_picture_in_both_splits_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "images/train/2.jpg", folder / "images/val/7.jpg")

    what = problems(folder / "data.yaml", tmp_path / "out")

    assert what == (
        "1 validation pictures are in train too, so mAP would flatter:\n"
        "images/val/7.jpg: the same file as images/train/2.jpg"
    )


def test_a_picture_in_both_splits_may_be_allowed(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "images/train/2.jpg", folder / "images/val/7.jpg")

    prepared = prepare(folder / "data.yaml", tmp_path / "out", Data(allow_leakage=True))

    assert prepared.summary.duplicates.exact_across == 1
    assert "Validation pictures that are in train too: 1" in prepared.notes[0]


def test_a_picture_saved_again_in_val_is_a_warning_and_never_calibrates(folder: Path, tmp_path: Path) -> None:
    pixels = cv2.imread(str(folder / "images/train/2.jpg"))
    assert cv2.imwrite(str(folder / "images/val/7.jpg"), pixels, [cv2.IMWRITE_JPEG_QUALITY, 70])

    prepared = prepare(folder / "data.yaml", tmp_path / "out")

    assert prepared.summary.duplicates.near_across == 1
    assert prepared.notes[0].startswith("Validation pictures that look the same as one in train: 1, first ")
    calibration = [picture.file for picture in load_dataset(prepared.index).calibration]
    assert calibration == [f"images/train/{n}.jpg" for n in (0, 1, 3, 4, 5)]


def test_what_is_odd_is_a_warning_with_counts(folder: Path, tmp_path: Path) -> None:
    (folder / "labels/train/0.txt").unlink()
    (folder / "labels/train/1.txt").write_text("0 0.5 0.5 0 0.1\n0 0.5 0.5 0.0078125 0.5\n")
    (folder / "labels/train/2.txt").write_text("0 0.5 0.5 0.5 0.5\n" * 2)
    shutil.copy(folder / "images/train/4.jpg", folder / "images/train/5.jpg")
    for number in (6, 7, 8):
        (folder / f"labels/val/{number}.txt").write_text("0 0 0.5 0.01 0.5\n")

    prepared = prepare(folder / "data.yaml", tmp_path / "out")
    report = json.loads((prepared.report / "report.json").read_text())

    assert [note.replace(f"{folder}/", "") for note in prepared.notes] == [
        "Pictures without a label file, counted as background: 1, first in images/train/0.jpg.",
        "Boxes left out because they are empty: 1, first in images/train/1.jpg.",
        "Boxes left out because they are there twice: 1, first in images/train/2.jpg.",
        "Boxes clipped because they reach over the edge: 3, first in images/val/6.jpg.",
        "Boxes no larger than a pixel on a side: 4, first in images/train/1.jpg.",
        "Pictures that are in their split twice: 1, first images/train/5.jpg like images/train/4.jpg.",
        "Class nut has no boxes in val: what quantization does to it will not be seen.",
        f"1 of 8 boxes in train have a side under 8 px at imgsz 640: {REMEDY}",
        f"3 of 3 boxes in val have a side under 8 px at imgsz 640: {REMEDY}",
    ]
    assert report["notes"] == list(prepared.notes)
    assert report["files"]["Boxes left out because they are empty"] == [str(folder / "images/train/1.jpg")]


def test_a_name_that_is_not_unicode_is_only_a_name(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "images/train/0.jpg", os.fsencode(folder / "images/train") + b"/\xff\n.jpg")

    prepared = prepare(folder / "data.yaml", tmp_path / "out")
    source = anchor(Data(path="data.yaml"), folder).source

    picture = load_dataset(prepared.index).train[-1]
    assert picture.file == "images/train/\udcff\n.jpg"
    assert read_picture(source, picture).shape == (96, 128, 3)


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_split_without_any_box_is_refused(folder: Path, tmp_path: Path, split: str) -> None:
    shutil.rmtree(folder / "labels" / split)

    what = problems(folder / "data.yaml", tmp_path / "out")

    assert what.startswith("data.yaml: there is no box on any of the")


def test_pictures_that_ultralytics_would_leave_out_are_refused(folder: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(folder / "images/val/6.jpg"), np.zeros((9, 64, 3), np.uint8))

    what = problems(folder / "data.yaml", tmp_path / "out")

    assert what == "images/val/6.jpg: 64 x 9 pixels; 10 a side is the least"


@pytest.mark.parametrize(
    ("data_set", "counts"),
    [
        ("bccd-mini", {"pictures": (82, 18), "boxes": (1090, 251), "small": (12, 2), "tiny": (0, 0)}),
        ("bsdata", {"pictures": (311, 82), "boxes": (389, 92), "small": (249, 53), "tiny": (83, 22)}),
    ],
)
def test_real_data_have_the_counts_of_their_readme_and_no_duplicates(
    test_data: Path, tmp_path: Path, data_set: str, counts: dict[str, tuple[int, int]]
) -> None:
    prepared = prepare(test_data / data_set / "data.yaml", tmp_path / "out", Data(calibration=50))
    dataset = load_dataset(prepared.index)
    summary = prepared.summary

    for name, count in counts.items():
        assert (getattr(summary.train, name), getattr(summary.val, name)) == count
    assert sum(vars(summary.duplicates).values()) == 0
    assert len(dataset.calibration) == 50
    assert {picture.file for picture in dataset.calibration} <= {picture.file for picture in dataset.train}
    source = anchor(Data(path="data.yaml"), test_data / data_set).source
    assert read_picture(source, dataset.val[0]).shape[1] == dataset.val[0].width
