"""Dataset: pictures with their boxes, checked and split; written by `data`, read by the other stages."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from targets.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from stages.artifact import Artifact

SCHEMA = 1
FILE_NAME = "dataset.json"


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """One picture and what is to be found on it.

    Attributes:
        file: Relative to the root of the pictures, `/`-separated; may begin with `../`.
        sha256: Of the file's bytes, in hex.
        width: In pixels, as decoded (EXIF orientation honoured).
        height: In pixels, likewise.
        boxes: (N, 5): class, centre x, centre y, width, height; fractions of the picture but for the class.
        crowd: (N,): the box stands for a group (COCO's `iscrowd`), which no detection has to match.
    """

    file: str
    sha256: str
    width: int
    height: int
    boxes: NDArray[np.float64]
    crowd: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """A data set that has passed its checks.

    Attributes:
        class_names: By class id.
        train: In the order of their paths, as is `val`.
        val: Shares no picture with `train`, unless the user allowed it.
        calibration: Some of `train`, for the ranges of INT8.
    """

    class_names: tuple[str, ...]
    train: tuple[Picture, ...]
    val: tuple[Picture, ...]
    calibration: tuple[Picture, ...]


def save_dataset(dataset: Dataset, folder: Path) -> None:
    """Write `folder/dataset.json`."""
    place = {picture.file: index for index, picture in enumerate(dataset.train)}
    record = {
        "schema": SCHEMA,
        "class_names": dataset.class_names,
        "train": [_to_json(picture) for picture in dataset.train],
        "val": [_to_json(picture) for picture in dataset.val],
        "calibration": [place[picture.file] for picture in dataset.calibration],
    }
    (folder / FILE_NAME).write_text(json.dumps(record, sort_keys=True) + "\n", encoding="utf-8")


def load_dataset(index: Artifact) -> Dataset:
    """Read `index / "dataset.json"`.

    Raises:
        DataError: It is missing, broken, or of a version newer than this program.
    """
    path = index / FILE_NAME
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if record["schema"] > SCHEMA:
            raise DataError(
                f"{path} has format version {record['schema']}; this program reads up to {SCHEMA}.",
                hint="Update edgebound on this machine.",
            )
        train = tuple(map(_from_json, record["train"]))
        return Dataset(
            class_names=tuple(record["class_names"]),
            train=train,
            val=tuple(map(_from_json, record["val"])),
            calibration=tuple(train[place] for place in record["calibration"]),
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError) as exc:
        raise DataError(
            f"{path} cannot be read as a prepared data set: {exc}",
            hint="Run `pipeline store fsck`, then the run again.",
        ) from exc


def read_picture(pictures: Artifact, picture: Picture) -> NDArray[np.uint8]:
    """Read the pixels as (H, W, 3), BGR, turned as EXIF says.

    Raises:
        DataError: The file is gone, has changed since it was checked, or does not decode.
    """
    path = pictures / picture.file
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise DataError(
            f"{path} cannot be read: {exc.strerror}.", hint="Put the picture back, or run again without it."
        ) from exc
    if hashlib.sha256(content).hexdigest() != picture.sha256:
        raise DataError(
            f"{path} has changed since the data set was checked.",
            hint="Run again: changed pictures are checked anew.",
        )
    pixels = decode_picture(content)
    if pixels is None:
        raise DataError(f"{path} cannot be decoded.", hint="Check that this OpenCV can read the format.")
    return pixels


def decode_picture(content: bytes) -> NDArray[np.uint8] | None:
    """Give (H, W, 3), BGR, turned as EXIF says, from a file's bytes; None if they are no picture."""
    if not content:
        return None
    try:
        pixels: NDArray[np.uint8] | None = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # as for a picture of more than 2**30 pixels
        return None
    return pixels


def _to_json(picture: Picture) -> dict[str, Any]:
    record = {**vars(picture), "boxes": picture.boxes.tolist()}
    record["crowd"] = np.flatnonzero(picture.crowd).tolist()
    return record


def _from_json(record: dict[str, Any]) -> Picture:
    boxes = np.array(record["boxes"], dtype=np.float64).reshape(-1, 5)
    crowd = np.zeros(len(boxes), dtype=np.bool_)
    crowd[record["crowd"]] = True
    return Picture(**{**record, "boxes": boxes, "crowd": crowd})
