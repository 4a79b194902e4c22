"""Calibrate: all tensors of an FP32 model are looked at on real pictures, once for all methods.

Light: the plan imports this in every run, so numpy, onnx and onnxruntime wait until `run`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge

from stages.artifact import Artifact
from stages.stage import Progress

Method = Literal["minmax", "percentile", "entropy", "mse", "reconstruction"]
"""How a range follows from what was seen: the first four from statistics (`methods.find_range`), the last by
trying those four (`reconstruct.choose_by_reconstruction`)."""


@dataclass(frozen=True, kw_only=True)
class CalibrateInputs:
    """What is looked at, with which pictures.

    Attributes:
        onnx: The exported model, `model.onnx` and `model.json`.
        index: The prepared data set.
        pictures: Its pictures.
    """

    onnx: Artifact
    index: Artifact
    pictures: Artifact


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """What was seen.

    Attributes:
        statistics: `statistics.npz` and `statistics.json`; read them with `storage.load_statistics`.
        pictures: How many pictures were looked at.
        notes: What the calibration set lacks, a sentence each.
    """

    statistics: Artifact
    pictures: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Calibrate:
    """Calibration in one pass, in memory that does not grow with the number of pictures.

    Attributes:
        pictures: Training pictures to look at; 0: all that were picked.
    """

    name: ClassVar[str] = "quantize"
    resumes: ClassVar[bool] = False

    pictures: Annotated[int, Ge(0)] = 0

    def run(self, inputs: CalibrateInputs, out: Path, progress: Progress) -> Calibrated:
        """Look at all tensors that a quantizer can want.

        Raises:
            DataError: There are no pictures, or one cannot be read.
            ModelError: The model cannot be read or run, is quantized already, or a tensor is not finite.
        """
        from stages.quantize.calibration.calibrate import calibrate

        return calibrate(self, inputs, out, progress)
