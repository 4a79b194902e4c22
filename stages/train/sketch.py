"""Sketch: the model as training would begin with it, so that targets can be asked before anybody trains.

Light: the plan imports this in every run, so torch and ultralytics wait until `run`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from stages.artifact import Artifact
from stages.stage import Progress
from stages.train import TrainInputs


@dataclass(frozen=True, kw_only=True)
class Sketched:
    """The untrained model.

    Attributes:
        checkpoint: As `stages.checkpoint` writes it.
    """

    checkpoint: Artifact


@dataclass(frozen=True, kw_only=True)
class Sketch:
    """The architecture with the data set's classes and whatever weights there are.

    Attributes:
        weights: As `Train.weights`.
        imgsz: As `Train.imgsz`.
    """

    name: ClassVar[str] = "train"
    resumes: ClassVar[bool] = False

    weights: str = ""
    imgsz: int = 640

    def run(self, inputs: TrainInputs, out: Path, progress: Progress) -> Sketched:
        """Build the model and write it.

        Raises:
            ModelError: The checkpoint cannot be read, or is no detector.
            UsageError: The model description, the user's modules or the size of the input are wrong.
        """
        from stages.train.session import sketch

        progress(0, 1, "building")
        return Sketched(checkpoint=sketch(self.weights, inputs, imgsz=self.imgsz, out=out))
