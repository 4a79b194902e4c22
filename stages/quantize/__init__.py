"""Quantize: an FP32 ONNX model becomes an INT8 one, with the precision written into the graph as Q/DQ.

Stages that work together, each a step of its own: `calibration.Calibrate` looks at the pictures once;
`ranking.Rank` says how much noise each block makes; `Quantize` makes an INT8 graph, `half.Halve` an FP16 one;
`equalize.Equalize` prepares networks without SiLU.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from annotated_types import Gt, Le

from stages.artifact import Artifact
from stages.quantize.calibration import Method
from stages.stage import Progress
from targets.profile import Dialect, RuntimeName


@dataclass(frozen=True, kw_only=True)
class QuantizeInputs:
    """What is quantized, for which kind of target.

    Attributes:
        onnx: The exported model.
        statistics: What `Calibrate` saw of it.
        index: The prepared data set.
        pictures: Its pictures.
        dialect: The Q/DQ graph that the target takes.
        runtime: What will read it.
        runtime_version: Of that; empty: the one installed here.
        half: The FP16 form, where the dialect has FP16 scales: what is not INT8 is as it is there.
        ranges: What the model was trained to keep, as `stages.learned` writes it; None: what calibration
            finds.
    """

    onnx: Artifact
    statistics: Artifact
    index: Artifact
    pictures: Artifact
    dialect: Dialect
    runtime: RuntimeName
    runtime_version: str = ""
    half: Artifact | None = None
    ranges: Artifact | None = None


@dataclass(frozen=True, kw_only=True)
class LeftInFloat:
    """A weighted node that stays in float, and why."""

    node: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """An INT8 model.

    Attributes:
        onnx: `model.onnx`, `model.json`, and what was placed where as `placement.txt` and `placement.json`.
        summary: How much of the model computes in INT8, in a sentence.
        left_out: Weighted nodes that stay in float.
    """

    onnx: Artifact
    summary: str
    left_out: tuple[LeftInFloat, ...]


@dataclass(frozen=True, kw_only=True)
class Quantize:
    """INT8 with explicit Q/DQ on the inputs of weighted operators (decision D1).

    Attributes:
        exclude: What stays in float: `head` (the head's output convolutions, DFL and decoding), and
            patterns of node names, as `/model.0/*`. Empty: the whole graph, decoding included, which is a
            sure way to lose a detector.
        method: How the range of an activation follows from what calibration saw: `mse` has the least squared
            error of rounding and clipping; `minmax` clips nothing; `percentile`; `entropy` as in TensorRT;
            `reconstruction` tries these four, tensor by tensor, at the output of what reads it.
        percentile: For that method: how many of the values are kept, in percent.
        correct_bias: Take the mean error that rounded weights make out of the biases (M. Nagel et al.,
            "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019).
    """

    name: ClassVar[str] = "quantize"
    resumes: ClassVar[bool] = False

    exclude: tuple[str, ...] = ("head",)
    method: Method = "mse"
    percentile: Annotated[float, Gt(50), Le(100)] = 99.99
    correct_bias: bool = True

    def run(self, inputs: QuantizeInputs, out: Path, progress: Progress) -> Quantized:
        """Place, find grids, correct biases, insert, and see that the target's parser takes it.

        Raises:
            ModelError: The model cannot be read, is quantized already, or becomes something that the parser
                does not take.
            UsageError: A pattern fits no node.
            DataError: The statistics are not of this model, or broken.
        """
        from stages.quantize.quantize import quantize

        return quantize(self, inputs, out, progress)
