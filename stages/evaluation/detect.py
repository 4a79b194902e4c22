"""Detections: what a model finds on the pictures of a data set."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

import numpy as np

from stages.artifact import Artifact
from stages.dataset import Picture, read_picture
from stages.stage import Progress, no_progress
from targets.errors import DataError
from targets.model import ModelSpec
from targets.postprocess import decode
from targets.preprocess import letterbox

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from targets.runtime import Infer

FILE_NAME = "detections.npz"


@dataclass(frozen=True, kw_only=True, eq=False)
class Detections:
    """What a model found, picture by picture in the order of the data set.

    Attributes:
        counts: (P,): detections on each picture.
        boxes: (N, 6): xyxy in pixels of the picture, score, class; on a picture sorted by falling score.
        nonfinite: Pictures to which the model answered NaN or infinity somewhere.
    """

    counts: NDArray[np.int32]
    boxes: NDArray[np.float32]
    nonfinite: int = 0

    def save(self, folder: Path) -> None:
        """Write `folder/detections.npz`; equal detections give equal bytes."""
        np.savez(folder / FILE_NAME, counts=self.counts, boxes=self.boxes, nonfinite=self.nonfinite)


def load_detections(folder: Artifact, *, pictures: int) -> Detections:
    """Read `folder / "detections.npz"`.

    Args:
        folder: What `Evaluate` wrote.
        pictures: How many pictures the data set has.

    Raises:
        DataError: It is missing, broken, or of another data set.
    """
    path = folder / FILE_NAME
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            found = Detections(
                counts=arrays["counts"], boxes=arrays["boxes"], nonfinite=int(arrays["nonfinite"])
            )
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as exc:
        raise DataError(
            f"{path} cannot be read as detections: {exc}", hint="Evaluate the model again."
        ) from exc
    if found.counts.shape != (pictures,) or found.boxes.shape != (found.counts.sum(), 6):
        raise DataError(
            f"{path} is about {found.counts.size} pictures and {len(found.boxes)} detections, which does not"
            f" fit {pictures} validation pictures.",
            hint="Evaluate the model on the same data set.",
        )
    return found


def check_detections(found: Detections, *, pictures: int, classes: int) -> None:
    """Refuse detections that no evaluation may count: a NaN would sort anywhere, and so pass for anything.

    Raises:
        DataError: They are of other pictures or other classes, or not finite.
    """
    problem = None
    if not pictures or len(found.counts) != pictures or found.counts.sum() != len(found.boxes):
        problem = (
            f"They are of {len(found.counts)} pictures, the data set has {pictures} validation pictures."
        )
    elif not np.isfinite(found.boxes).all():
        problem = f"{np.count_nonzero(~np.isfinite(found.boxes).all(axis=1))} of them have NaN or infinity."
    elif not np.isin(found.boxes[:, 5], np.arange(classes)).all():
        problem = f"They are of other classes than the {classes} of the data set."
    if problem:
        raise DataError(
            f"The detections cannot be compared with the labels. {problem}",
            hint="Evaluate the model again, on this data set.",
        )


def detect(
    infers: Sequence[Infer],
    spec: ModelSpec,
    *,
    pictures: Sequence[Picture],
    root: Artifact,
    progress: Progress = no_progress,
) -> Detections:
    """Run a model over pictures, as validation does: a box may be several classes at once.

    Args:
        infers: The model, as many times as it may run at once; each is called by one thread at a time. One
            thread more reads and decodes meanwhile.
        spec: Its input and output, and down to which score, by which NMS and how many it is to find.
        pictures: At least one.
        root: The folder that the pictures' names start from.
        progress: Told after each picture.

    Raises:
        DataError: A picture cannot be read.
        ModelError: The model's output is not what `spec` says.
    """
    free: SimpleQueue[Infer] = SimpleQueue()
    for infer in infers:
        free.put(infer)

    def look(picture: Picture) -> tuple[NDArray[np.float32], bool]:
        images, placement = letterbox(read_picture(root, picture), spec.input)
        infer = free.get()
        try:
            output = infer(images)
        finally:
            free.put(infer)
        return decode(output, spec, placement, multi_label=True), bool(np.isfinite(output).all())

    found: list[NDArray[np.float32]] = []
    nonfinite = 0
    with ThreadPoolExecutor(len(infers) + 1) as threads:
        for rows, finite in threads.map(look, pictures):
            found.append(rows)
            nonfinite += not finite
            progress(len(found), len(pictures))
    counts = np.array([len(rows) for rows in found], np.int32)
    return Detections(counts=counts, boxes=np.concatenate(found), nonfinite=nonfinite)
