"""COCO JSON: where its splits and pictures are, and what is on them. Light until `load_split`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from targets.errors import DataError, UsageError

_FILE_NAME = re.compile(rb'"file_name"\s*:\s*("(?:[^"\\]|\\.)*")')


@dataclass(frozen=True, kw_only=True)
class CocoFiles:
    """One split: its JSON, and the folder that its file names are relative to; both with links resolved."""

    json: Path
    images: Path


@dataclass(frozen=True, kw_only=True)
class CocoSource:
    """A data set; `root` is the folder of the training JSON."""

    root: Path
    train: CocoFiles
    val: CocoFiles


@dataclass(frozen=True, kw_only=True)
class CocoPicture:
    """A picture and its annotations.

    Attributes:
        path: Absolute.
        width: In pixels.
        height: In pixels.
        rows: For each annotation where it stands, and class id, centre x, centre y, width, height; all
            but the id as fractions of the picture.
        crowd: For each annotation, whether it stands for a group.
        problems: Of annotations that are not in `rows`.
    """

    path: str
    width: int
    height: int
    rows: Sequence[tuple[str, Sequence[float]]]
    crowd: Sequence[bool]
    problems: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class CocoSplit:
    """One split, read; classes are numbered in the order of their category ids."""

    class_names: tuple[str, ...]
    pictures: Sequence[CocoPicture]


def find_coco(file: Path, *, val: Path | None, images: Path | None) -> CocoSource:
    """Find the files of a data set without reading all of them.

    Raises:
        UsageError: There is no validation JSON.
        DataError: A JSON has no pictures, or they are not to be found.
    """
    val = val.resolve() if val else _val_beside(file)
    return CocoSource(root=file.parent, train=_find_files(file, images), val=_find_files(val, images))


def _val_beside(train: Path) -> Path:
    """Replace `train` in the JSON's name, its folder's name, or both."""
    for word in ("val", "valid", "validation"):
        name = train.name.replace("train", word)
        folder = train.parent.with_name(train.parent.name.replace("train", word))
        for path in (train.with_name(name), folder / train.name, folder / name):
            if path != train and path.is_file():
                return path
    raise UsageError(
        f"There is no validation JSON beside {train}.",
        hint="Set `data.val` to the COCO JSON of the validation split.",
    )


def _find_files(file: Path, images: Path | None) -> CocoFiles:
    first = _FILE_NAME.search(file.read_bytes())
    if first is None:
        raise DataError(f"{file}: there are no pictures in it.", hint="Give a COCO JSON with `images`.")
    try:
        name = str(json.loads(first[1]))
    except ValueError as exc:
        raise _not_coco(file, exc) from exc
    split = file.stem.removeprefix("instances_")
    around = [images] if images else [file.parent, file.parent.parent]
    places = [place / below for place in around for below in ("", "images", split, f"images/{split}")]
    for place in places:
        if os.path.isfile(place / name):  # noqa: PTH113  # never raises
            return CocoFiles(json=file, images=place.resolve())
    raise DataError(
        f"{file}: its picture {name} is in none of {', '.join(map(str, places))}.",
        hint="Set `data.images` to the folder that the file names in the JSON are relative to.",
    )


def load_split(files: CocoFiles) -> CocoSplit:
    """Read a JSON.

    Raises:
        DataError: It is not COCO, or annotations refer to what is not there.
    """
    try:
        record = json.loads(files.json.read_bytes())
        categories = {entry["id"]: str(entry["name"]) for entry in record["categories"]}
        class_of = {number: index for index, number in enumerate(sorted(categories))}
        annotations: dict[Any, list[Mapping[str, Any]]] = {entry["id"]: [] for entry in record["images"]}
        for annotation in record.get("annotations", ()):
            annotations[annotation["image_id"]].append(annotation)
        pictures = [_picture(entry, annotations[entry["id"]], files, class_of) for entry in record["images"]]
    except KeyError as exc:
        raise _not_coco(files.json, f"no {exc}") from exc
    except (ValueError, TypeError, AttributeError, ArithmeticError) as exc:
        raise _not_coco(files.json, exc) from exc
    names = tuple(categories[number] for number in sorted(categories))
    return CocoSplit(class_names=names, pictures=sorted(pictures, key=lambda picture: picture.path))


def _not_coco(file: Path, why: object) -> DataError:
    return DataError(
        f"{file}: not a COCO JSON for detection: {why}",
        hint="It needs `images`, `categories`, and `annotations` with `bbox` and the ids of those.",
    )


def _picture(
    entry: Mapping[str, Any],
    annotations: Sequence[Mapping[str, Any]],
    files: CocoFiles,
    class_of: Mapping[Any, int],
) -> CocoPicture:
    width, height = int(entry["width"]), int(entry["height"])
    known = [annotation for annotation in annotations if annotation["category_id"] in class_of]
    return CocoPicture(
        path=f"{files.images}/{entry['file_name']}",
        width=width,
        height=height,
        rows=[
            (
                _where(annotation, files),
                (class_of[annotation["category_id"]], *_box(annotation, width=width, height=height)),
            )
            for annotation in known
        ],
        crowd=[bool(annotation.get("iscrowd")) for annotation in known],
        problems=[
            f"{_where(annotation, files)}: category_id {annotation['category_id']} is not in `categories`"
            for annotation in annotations
            if annotation["category_id"] not in class_of
        ],
    )


def _where(annotation: Mapping[str, Any], files: CocoFiles) -> str:
    return f"{files.json}: annotation {annotation.get('id', '?')}"


def _box(annotation: Mapping[str, Any], *, width: int, height: int) -> Sequence[float]:
    left, top, w, h = map(float, annotation["bbox"])
    return (left + w / 2) / width, (top + h / 2) / height, w / width, h / height
