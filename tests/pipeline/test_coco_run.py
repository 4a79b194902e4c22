"""A data set is the same data set, whether a data YAML or a COCO JSON describes it."""

import json
from pathlib import Path

import cv2
import pytest
from commands import contents, invoke

NAMES = ("hole", "scratch", "stain")


def to_coco(data: Path, split: str) -> dict[str, object]:
    """Give the COCO JSON of a split; category ids have gaps, as real ones do."""
    images, annotations = [], []
    for number, picture in enumerate(sorted((data / "images" / split).iterdir())):
        height, width = cv2.imread(str(picture)).shape[:2]
        images.append({"id": number, "file_name": picture.name, "width": width, "height": height})
        label = data / "labels" / split / f"{picture.stem}.txt"
        for line in label.read_text().splitlines() if label.exists() else ():
            kind, x, y, w, h = map(float, line.split())
            box = [(x - w / 2) * width, (y - h / 2) * height, w * width, h * height]
            annotations.append(
                {"id": len(annotations), "image_id": number, "category_id": 10 * int(kind) + 1, "bbox": box}
            )
    categories = [{"id": 10 * number + 1, "name": name} for number, name in enumerate(NAMES)]
    return {"images": images, "annotations": annotations, "categories": categories}


@pytest.fixture
def coco(project: Path) -> Path:
    """Give the project with a COCO twin of its data set."""
    for split in ("train", "val"):
        (project / f"instances_{split}.json").write_text(json.dumps(to_coco(project / "steel", split)))
    return project


def summary(project: Path, *settings: str) -> dict[str, object]:
    options = [part for setting in settings for part in ("--set", setting)]
    outcome = invoke("run", "--root", project, "--until", "data", "--json", *options)
    assert outcome.code == 4, outcome.said
    return outcome.document["data_summary"]


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param((), id="all is found beside it"),
        pytest.param(("data.val=instances_val.json",), id="the validation split is named"),
    ],
)
def test_a_coco_json_gives_the_counts_of_the_data_yaml(coco: Path, settings: tuple[str, ...]) -> None:
    before = contents(coco / "steel")
    (coco / "images").symlink_to(coco / "steel" / "images")

    described = summary(coco)
    found = summary(coco, "data.path=instances_train.json", *settings)

    assert [one["name"] for one in described["classes"]] == list(NAMES)
    assert sum(one["train"] for one in described["classes"]) > 0
    assert {**found, "warnings": []} == {**described, "warnings": []}
    assert contents(coco / "steel") == before


def test_pictures_of_each_split_may_lie_in_a_folder_that_is_named(coco: Path) -> None:
    described = summary(coco)
    found = summary(coco, "data.path=instances_train.json", "data.images=steel/images")

    assert (found["train"], found["val"]) == (described["train"], described["val"])


def test_pictures_that_are_nowhere_are_told(coco: Path) -> None:
    outcome = invoke(
        "run", "--root", coco, "--until", "data", "--json", "--set", "data.path=instances_train.json"
    )

    assert outcome.code == 1
    assert "Set `data.images`" in outcome.document["error"]["hint"]


def test_a_coco_json_without_a_validation_split_is_told(coco: Path) -> None:
    (coco / "instances_val.json").unlink()

    outcome = invoke(
        "run", "--root", coco, "--until", "data", "--json", "--set", "data.path=instances_train.json"
    )

    assert outcome.code == 2
    assert "Set `data.val`" in outcome.document["error"]["hint"]
