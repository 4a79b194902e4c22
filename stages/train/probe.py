"""Probe: what FP32, TF32, FP16 and BF16 cost in training, on the user's model, data and device.

Light: the plan imports this, so torch and ultralytics wait until `run`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from annotated_types import Ge

from stages.stage import Progress
from stages.train import PrecisionProbe, Train, TrainInputs


@dataclass(frozen=True, kw_only=True)
class Probed:
    """What was measured.

    Attributes:
        precisions: All of them, with a reason for each that could not be tried.
        device: It was measured on.
        batch: Pictures at once.
    """

    precisions: tuple[PrecisionProbe, ...]
    device: str
    batch: int


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A few training steps in each precision, on one batch as training would draw it.

    Attributes:
        train: Settings of the training that it is for.
        steps: Timed steps in each precision, after five that are not.
    """

    name: ClassVar[str] = "train"
    resumes: ClassVar[bool] = False

    train: Train
    steps: Annotated[int, Ge(1)] = 10

    def run(self, inputs: TrainInputs, out: Path, progress: Progress) -> Probed:
        """Try all precisions; nothing is kept of the training.

        Raises:
            UsageError: A setting is wrong, or the weights do not fit the data set.
            ModelError: The weights cannot be read, or are no detector.
        """
        from stages.train.session import probe

        progress(0, 1, "trying precisions")
        precisions, device, batch = probe(self.train, inputs, out, steps=self.steps)
        return Probed(precisions=precisions, device=device, batch=batch)
