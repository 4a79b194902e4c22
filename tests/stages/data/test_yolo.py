"""Ultralytics data YAML: the same pictures and labels are found as by Ultralytics."""

import os
import shutil
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.data.yolo import find_yolo, label_of, pictures_below
from targets.errors import DataError

NAMES = "names: [bolt, nut]\n"


def find(folder: Path, text: str, name: str = "data.yaml") -> tuple[list[str], list[str]]:
    (folder / name).write_text(text)
    source = find_yolo(folder / name)
    return tuple([os.path.relpath(file, folder) for file in files] for files in (source.train, source.val))


@pytest.mark.parametrize(
    "text",
    [
        "train: images/train\nval: images/val\n",
        "train: [images/train]\nvalidation: images/val\n",
        "path: ..\ntrain: user/images/train\nval: user/images/val\n",
        "path: {folder}\ntrain: images/train/\nval: [images/val/6.jpg, images/val/7.jpg, images/val/8.jpg]\n",
        "train: ../images/train\nval: ../images/val\n",
        "train: train.txt\nval: images/val\n",
    ],
)
def test_a_split_may_be_named_in_many_ways(folder: Path, text: str) -> None:
    lines = [f"./images/train/{n}.jpg" for n in range(5)] + [str(folder / "images/train/5.jpg"), ""]
    (folder / "train.txt").write_text("\n".join(lines))

    train, val = find(folder, text.format(folder=folder) + NAMES)

    assert train == [f"images/train/{n}.jpg" for n in range(6)]
    assert val == [f"images/val/{n}.jpg" for n in (6, 7, 8)]


def test_pictures_are_found_below_hidden_files_aside_each_once(folder: Path) -> None:
    (folder / "images/train/deep/er").mkdir(parents=True)
    shutil.copy(folder / "images/train/0.jpg", folder / "images/train/deep/er/a.b.JPEG")
    shutil.copy(folder / "images/train/0.jpg", folder / "images/train/.hidden.jpg")
    (folder / "images/train/deep/loop").symlink_to(folder / "images/train")

    train, _ = find(folder, "train: [images/train, images/train]\nval: images/val\n" + NAMES)

    assert train == [*(f"images/train/{n}.jpg" for n in range(6)), "images/train/deep/er/a.b.JPEG"]


@pytest.mark.parametrize(
    ("picture", "label"),
    [
        ("/images/x/images/train/a.b.jpg", "/images/x/labels/train/a.b.txt"),
        ("/data/train/a.png", "/data/train/a.txt"),
        ("/data/my_images/a.png", "/data/my_images/a.txt"),
    ],
)
def test_labels_are_where_ultralytics_looks_for_them(picture: str, label: str) -> None:
    assert label_of(picture) == label


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("train: images/train\nval: images/val\n", "data.yaml: data YAML without `names`."),
        (NAMES + "nc: 3\n", "data.yaml: `nc: 3`, but `names` has 2."),
        ("names: {0: a, 2: b}\n", "data.yaml: `names` does not give a name to each class id, 0, 1, 2 …"),
        ("names: []\n", "data.yaml: `names` does not give a name to each class id, 0, 1, 2 …"),
        ("names: bolt\n", "data.yaml: `names` does not give a name to each class id, 0, 1, 2 …"),
        ("names: [a\ntrain: b\n", "data.yaml:2: not YAML: did not find expected ',' or ']'."),
        ("- a\n", "data.yaml: not a data YAML."),
        ("", "data.yaml: not a data YAML."),
        (NAMES + "train: images/train\nval: {a: 1}\n", "data.yaml: `val` is not a path."),
        (NAMES + "train: images/train\nval: nowhere\n", "data.yaml: `val: nowhere`: there is no nowhere."),
        (NAMES + "train: images/train\n", "data.yaml: there are no validation pictures (no `val`)."),
        (
            NAMES + "train: images/train\nval: empty\n",
            "data.yaml: there are no validation pictures (`val: empty`).",
        ),
        (
            NAMES + "train: empty\nval: images/val\n",
            "data.yaml: there are no training pictures (`train: empty`).",
        ),
        (NAMES + "train: list.txt\nval: images/val\n", "list.txt:2: there is no picture images/none.jpg."),
        (NAMES + "kpt_shape: [17, 3]\n", "data.yaml: `kpt_shape`: this is a data set of keypoints."),
    ],
)
def test_a_broken_yaml_is_named_with_what_is_wrong(folder: Path, text: str, what: str) -> None:
    (folder / "empty").mkdir()
    (folder / "list.txt").write_text("images/train/0.jpg\nimages/none.jpg\n")

    with pytest.raises(DataError) as caught:
        find(folder, text)

    assert caught.value.what.replace(f"{folder}/", "") == what


def test_what_would_be_downloaded_is_said(folder: Path) -> None:
    with pytest.raises(DataError) as caught:
        find(folder, NAMES + "path: coco8\ntrain: a\nval: b\ndownload: https://example.org/coco8.zip\n")

    assert caught.value.hint == (
        "Edgebound downloads nothing; fetch the data first: https://example.org/coco8.zip"
    )


def test_a_folder_that_cannot_be_read_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="none cannot be read: No such file or directory"):
        list(pictures_below(f"{folder}/none"))


VALUES = st.recursive(
    st.sampled_from(["images/train", "images/val", "..", "", "a\0b", "x" * 300, "bolt"])
    | st.none()
    | st.integers(-1, 3)
    | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.integers(-1, 3), inner, max_size=3),
)
RECORDS = st.dictionaries(st.sampled_from(["path", "train", "val", "names", "nc", "kpt_shape"]), VALUES)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(st.binary(), RECORDS.map(lambda record: yaml.safe_dump(record).encode())))
def test_any_yaml_gives_pictures_or_a_data_error(folder: Path, content: bytes) -> None:
    (folder / "data.yaml").write_bytes(content)

    try:
        source = find_yolo(folder / "data.yaml")
        found, what = bool(source.train and source.val), ""
    except DataError as error:
        found, what = False, error.what

    assert found != (str(folder) in what)
