"""Data: a user's pictures and labels, read and checked, become an index that the other stages trust.

Light: the plan imports this and `stages.data.source` in every run, so cv2 and numpy wait until `run`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from annotated_types import Ge

from stages.artifact import Artifact
from stages.data.summary import DataSummary
from stages.stage import Progress


@dataclass(frozen=True, kw_only=True)
class DataInputs:
    """What is read.

    Attributes:
        source: The folder that `Data.path` is relative to, as `stages.data.source.find_source` gives it.
    """

    source: Artifact


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A data set that passed.

    Attributes:
        index: `dataset.json`; read it with `stages.dataset.load_dataset`.
        report: `report.json`: the summary, all notes, and the files behind them.
        pictures_digest: Over the contents of all pictures, by file.
        train_pictures: In the training split.
        val_pictures: In the validation split.
        calibration_pictures: Picked from the training split.
        summary: Counts, for the report.
        notes: Warnings, a sentence each.
    """

    index: Artifact
    report: Artifact
    pictures_digest: str
    train_pictures: int
    val_pictures: int
    calibration_pictures: int
    summary: DataSummary
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Data:
    """The data set. Nothing is ever written into its folder.

    Attributes:
        path: An Ultralytics data YAML, or the COCO JSON of the training split.
        val: COCO only: JSON of the validation split; empty: beside the training one, `train` read as `val`.
        images: COCO only: folder of the pictures; empty: looked for around the JSON.
        calibration: Training pictures to pick for calibration, all if there are fewer.
        allow_leakage: Go on where the very same picture is in both splits; mAP then flatters.
        imgsz: Side of the model's input, in pixels, to judge the sizes of boxes; training's, in a plan.
    """

    name: ClassVar[str] = "data"
    resumes: ClassVar[bool] = False

    path: str = ""
    val: str = ""
    images: str = ""
    calibration: Annotated[int, Ge(1)] = 200
    allow_leakage: bool = False
    imgsz: Annotated[int, Ge(32)] = 640

    def run(self, inputs: DataInputs, out: Path, progress: Progress) -> Prepared:
        """Read every picture and label, check them all, and pick the calibration set.

        Raises:
            DataError: With all that is wrong, as `file:line: text`.
        """
        from stages.data.prepare import prepare

        return prepare(self, inputs.source, out, progress)
