"""Halve: an FP32 model becomes a typed FP16 one, with what FP16 has too few bits for left in FP32.

Light: the plan imports this in every run, so onnx and onnxruntime wait until `run`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt

from stages.artifact import Artifact
from stages.stage import Progress
from targets.errors import ModelError
from targets.profile import Dialect

SCHEMA = 1
RECORD = "precision.json"


@dataclass(frozen=True, kw_only=True)
class HalveInputs:
    """What becomes FP16, for which kind of target.

    Attributes:
        onnx: The exported model.
        index: The prepared data set.
        pictures: Its pictures.
        dialect: Of the target; its opset is that of the result.
    """

    onnx: Artifact
    index: Artifact
    pictures: Artifact
    dialect: Dialect


@dataclass(frozen=True, kw_only=True)
class Halved:
    """An FP16 model.

    Attributes:
        onnx: `model.onnx`, `model.json`, and `precision.json` with what stays in FP32 and why.
        kept_fp32: How many nodes that are.
        notes: What a person should know, a sentence each.
    """

    onnx: Artifact
    kept_fp32: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Halve:
    """FP16 as a typed graph (decision D1); inputs and outputs are FP32.

    The defaults leave room for what FP16 costs in convolutions, where nothing can be done about it: 0.14 px
    and 0.004 in a YOLOv8n fine-tuned on blood cells at 320 px, 0.10 px and 0.003 in one at 640 px.

    Attributes:
        calibration: Training pictures to look at, of those that were picked; 0: all.
        tolerance_px: By how much 19 of 20 boxes that the model is sure of may move, in pixels of the input.
        tolerance_score: By how much their scores may change, 0 to 1.
    """

    name: ClassVar[str] = "quantize"
    resumes: ClassVar[bool] = False

    calibration: Annotated[int, Ge(0)] = 16
    tolerance_px: Annotated[float, Gt(0)] = 0.2
    tolerance_score: Annotated[float, Gt(0)] = 0.01

    def run(self, inputs: HalveInputs, out: Path, progress: Progress) -> Halved:
        """Find what has to stay in FP32, convert the rest, and see how far the outputs move.

        Raises:
            ModelError: The model cannot be read or run, is not FP32, is quantized, or not finite.
            DataError: There are no pictures, or one cannot be read.
        """
        from stages.quantize.half.halve import halve

        return halve(self, inputs, out, progress)


def load_kept(onnx: Artifact) -> frozenset[str]:
    """Give the names of the nodes that stay in FP32, from the `precision.json` beside a model.

    Raises:
        ModelError: It is missing, broken, or of a version newer than this program.
    """
    path = onnx / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["schema"] > SCHEMA:
            raise ModelError(
                f"{path} has format version {record['schema']}; this program reads up to {SCHEMA}.",
                hint="Update edgebound on this machine.",
            )
        return frozenset(str(one["node"]) for one in record["kept_fp32"])
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ModelError(
            f"{path} does not say what stays in FP32: {exc}",
            hint="Run `pipeline store fsck`, then the run again.",
        ) from exc
