"""COCO JSON: found beside its pictures, and read like any other data set."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.data import Data, DataInputs, Prepared
from stages.data.coco import find_coco, load_split
from stages.data.source import anchor
from stages.dataset import load_dataset
from stages.stage import no_progress
from targets.errors import DataError, UsageError


def coco(split: str) -> dict[str, Any]:
    """Describe the pictures of `folder` in COCO's way."""
    numbers = range(6) if split == "train" else range(6, 9)
    images = [{"id": n, "file_name": f"{n}.jpg", "width": 128, "height": 96} for n in numbers]
    annotations = [
        {"id": 100 + n, "image_id": n, "category_id": 3, "bbox": [48, 24, 32, 48], "iscrowd": 0}
        for n in numbers
    ]
    crowd = {"id": 200, "image_id": numbers[0], "category_id": 7, "bbox": [0, 0, 64, 96], "iscrowd": 1}
    categories = [{"id": 7, "name": "nut"}, {"id": 3, "name": "bolt"}]
    return {"images": images, "annotations": [*annotations, crowd], "categories": categories}


@pytest.fixture
def coco_folder(folder: Path) -> Path:
    """Give a folder in the layout of COCO itself."""
    (folder / "annotations").mkdir()
    for split in ("train", "val"):
        (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(coco(split)))
    return folder


def prepare(folder: Path, data: Data) -> Prepared:
    anchored = anchor(data, folder)
    out = folder.parent / "out"
    out.mkdir()
    return anchored.data.run(DataInputs(source=anchored.source), out, no_progress)


PATH = "annotations/instances_train.json"
VAL = "annotations/instances_val.json"


def test_boxes_categories_and_crowds_are_read(coco_folder: Path) -> None:
    dataset = load_dataset(prepare(coco_folder, Data(path=PATH)).index)

    assert dataset.class_names == ("bolt", "nut")
    assert [picture.file for picture in dataset.train] == [f"../images/train/{n}.jpg" for n in range(6)]
    assert dataset.val[0].boxes.tolist() == [[0, 0.5, 0.5, 0.25, 0.5], [1, 0.25, 0.5, 0.5, 1]]
    assert dataset.val[0].crowd.tolist() == [False, True]


def test_files_may_be_named_where_they_lie_elsewhere(coco_folder: Path) -> None:
    (coco_folder / VAL).rename(coco_folder / "held_out.json")
    data = Data(path=PATH, val="held_out.json", images="images")
    (coco_folder / "images/val").rename(coco_folder / "images/held_out")

    anchored = anchor(data, coco_folder)
    prepared = prepare(coco_folder, data)

    assert anchored.data == replace(
        data, path="instances_train.json", val="../held_out.json", images="../images"
    )
    assert prepared.val_pictures == 3


def test_pictures_beside_their_json_are_found(folder: Path) -> None:
    for split, name in (("train", "train"), ("val", "valid")):  # as Roboflow exports it
        (folder / "images" / split).rename(folder / name)
        (folder / name / "_annotations.coco.json").write_text(json.dumps(coco(split)))

    prepared = prepare(folder, Data(path="train/_annotations.coco.json"))

    assert (prepared.train_pictures, prepared.val_pictures) == (6, 3)


def test_no_validation_json_is_a_usage_error(coco_folder: Path) -> None:
    (coco_folder / VAL).unlink()

    with pytest.raises(UsageError, match="There is no validation JSON beside"):
        anchor(Data(path=PATH), coco_folder)


def test_pictures_that_are_nowhere_are_named(coco_folder: Path) -> None:
    (coco_folder / "images").rename(coco_folder / "elsewhere")

    with pytest.raises(DataError, match=r"instances_train\.json: its picture 0\.jpg is in none of"):
        anchor(Data(path=PATH), coco_folder)


def change(record: dict[str, Any], part: str, **fields: Any) -> dict[str, Any]:
    record[part][0].update(fields)
    return record


@pytest.mark.parametrize(
    ("record", "what"),
    [
        (
            change(coco("train"), "annotations", category_id=5),
            "annotation 100: category_id 5 is not in `categories`",
        ),
        (
            change(coco("train"), "annotations", bbox=[120, 0, 40, 20]),
            "annotation 100: box outside the picture, x from 0.9375 to 1.25; fractions, 0 to 1, are expected",
        ),
        (
            change(coco("train"), "annotations", bbox=[float("nan"), 0, 20, 10]),
            "annotation 100: a coordinate is not a finite number",
        ),
        (
            change(coco("train"), "images", width=96, height=128),
            "0.jpg: 128 x 96 pixels, but its annotations say (96, 128)",
        ),
        (change(coco("train"), "images", width=0), "float division by zero"),
        (change(coco("train"), "annotations", image_id=99), "no 99"),
        (change(coco("train"), "annotations", bbox=[1, 2]), "not enough values to unpack"),
        (change(coco("train"), "annotations", bbox="none"), "could not convert string to float"),
        ({"images": coco("train")["images"]}, "no 'categories'"),
        ([coco("train")], "list indices must be integers"),
        (change(coco("train"), "categories", name="screw"), "have different categories"),
    ],
)
def test_a_broken_json_is_named_with_what_is_wrong(coco_folder: Path, record: Any, what: str) -> None:
    (coco_folder / PATH).write_text(json.dumps(record))

    with pytest.raises(DataError) as caught:
        prepare(coco_folder, Data(path=PATH))

    assert what in caught.value.what


def test_a_cut_json_is_a_data_error(coco_folder: Path) -> None:
    text = (coco_folder / PATH).read_text()
    (coco_folder / PATH).write_text(text[: len(text) // 2])

    with pytest.raises(DataError, match="not a COCO JSON"):
        prepare(coco_folder, Data(path=PATH))


ODD = st.sampled_from([None, 0, -1, 7, 1e999, float("nan"), "", "a\0", "7", [], {}, [1, 2, 3, 4], True])


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_json_gives_pictures_or_a_data_error(coco_folder: Path, data: st.DataObject) -> None:
    record = coco("train")
    for _ in range(data.draw(st.integers(1, 3))):
        entry = record[data.draw(st.sampled_from(sorted(record)))][0]
        entry[data.draw(st.sampled_from(sorted(entry)))] = data.draw(ODD)
    (coco_folder / PATH).write_text(json.dumps(record))

    try:
        split = load_split(find_coco(coco_folder / PATH, val=None, images=None).train)
        found, what = bool(split.pictures), ""
    except DataError as error:
        found, what = False, error.what

    assert found != (str(coco_folder / PATH) in what)
