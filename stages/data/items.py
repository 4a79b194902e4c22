"""Items: what is to be read of a data set, whichever format describes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from stages.data.coco import CocoPicture, CocoSource, load_split
from stages.data.labels import Labels, collect, parse_labels
from stages.data.pictures import Item
from stages.data.yolo import YoloSource, label_of
from targets.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Items:
    """Both splits, to be read."""

    class_names: tuple[str, ...]
    train: Sequence[Item]
    val: Sequence[Item]


def list_items(source: YoloSource | CocoSource) -> Items:
    """Give the pictures of both splits, in the order of their paths.

    Raises:
        DataError: A COCO JSON is none, or the splits disagree about their classes.
    """
    return _of_yolo(source) if isinstance(source, YoloSource) else _of_coco(source)


def _of_yolo(source: YoloSource) -> Items:
    classes = len(source.class_names)
    train, val = (
        [Item(path=path, labels=partial(_read_labels, path, classes)) for path in paths]
        for paths in (source.train, source.val)
    )
    return Items(class_names=source.class_names, train=train, val=val)


def _read_labels(picture: str, classes: int) -> Labels:
    file = label_of(picture)
    try:
        content = Path(file).read_bytes()
    except FileNotFoundError:
        return replace(collect([], classes), missing=True)
    except OSError as exc:
        return collect([], classes, problems=[f"{file}: cannot be read: {exc.strerror}"])
    return parse_labels(content, file, classes)


def _of_coco(source: CocoSource) -> Items:
    train, val = load_split(source.train), load_split(source.val)
    if train.class_names != val.class_names:
        raise DataError(
            f"{source.train.json} and {source.val.json} have different categories.",
            hint="Both need the same `categories`, with the same ids.",
        )
    classes = len(train.class_names)
    return Items(
        class_names=train.class_names,
        train=[_coco_item(picture, classes) for picture in train.pictures],
        val=[_coco_item(picture, classes) for picture in val.pictures],
    )


def _coco_item(picture: CocoPicture, classes: int) -> Item:
    return Item(
        path=picture.path,
        labels=partial(collect, picture.rows, classes, crowd=picture.crowd, problems=picture.problems),
        size=(picture.width, picture.height),
    )
