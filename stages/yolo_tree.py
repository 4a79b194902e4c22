"""Ultralytics' view of a data set: a folder of links, for its caches not to land in the user's folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import yaml

from stages.artifact import Artifact
from stages.dataset import Dataset, Picture


def write_ultralytics_tree(dataset: Dataset, pictures: Artifact, out: Path) -> Path:
    """Write links to the pictures, label files and a data YAML; what an earlier call left is replaced.

    Pictures are named by their place in the data set: equal names in different folders do not meet, and
    Ultralytics, which sorts by name, keeps the order. Boxes of crowds are left out, as it knows none.

    Args:
        dataset: What to write.
        pictures: Root of the pictures, as for `read_picture`.
        out: The folder; also where Ultralytics may write.

    Returns:
        The data YAML.
    """
    root = os.path.realpath(pictures.path)
    for old in (out / "images", out / "labels"):  # with the caches, which outlive a change of labels
        shutil.rmtree(old, ignore_errors=True)
    for split, those in (("train", dataset.train), ("val", dataset.val)):
        _write_split(those, root, images=out / "images" / split, labels=out / "labels" / split)
    record = {
        "path": str(out.resolve()),
        "train": "images/train",
        "val": "images/val",
        "names": dict(enumerate(dataset.class_names)),
    }
    file = out / "data.yaml"
    file.write_text(yaml.safe_dump(record, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return file


def _write_split(pictures: Sequence[Picture], root: str, *, images: Path, labels: Path) -> None:
    for folder in (images, labels):
        folder.mkdir(parents=True)
    for place, picture in enumerate(pictures):
        suffix = Path(picture.file).suffix.lower()
        (images / f"{place:06d}{suffix}").symlink_to(os.path.join(root, picture.file))  # noqa: PTH118  # keeps ../
        (labels / f"{place:06d}.txt").write_text("".join(_lines(picture)), encoding="ascii")


def _lines(picture: Picture) -> list[str]:
    return [
        f"{int(box[0])} " + " ".join(f"{value:.9g}" for value in box[1:]) + "\n"
        for box in picture.boxes[~picture.crowd]
    ]
