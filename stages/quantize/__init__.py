"""Quantize: an FP32 ONNX model becomes an INT8 one, with the precision written into the graph as Q/DQ."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar

from annotated_types import Ge

from stages.artifact import Artifact
from stages.stage import Progress
from targets.model import load_model_spec
from targets.profile import Dialect


@dataclass(frozen=True, kw_only=True)
class QuantizeInputs:
    """What is quantized, with which pictures, for which kind of target.

    Attributes:
        onnx: The exported model.
        index: The prepared data set.
        pictures: Its pictures.
        dialect: The Q/DQ graph that the target takes.
    """

    onnx: Artifact
    index: Artifact
    pictures: Artifact
    dialect: Dialect


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """An INT8 model.

    Attributes:
        onnx: `model.onnx`, `model.json`, and `placement.json` with what was quantized, and what not and why.
        quantized: Nodes that compute in INT8.
        left_out: Weighted nodes that stay in float.
    """

    onnx: Artifact
    quantized: int
    left_out: int


@dataclass(frozen=True, kw_only=True)
class Quantize:
    """INT8 with explicit Q/DQ on the inputs of weighted operators (decision D1).

    Attributes:
        exclude: What stays in float: `head` (the head's output convolutions, DFL and decoding), and
            patterns of node names, as `/model.0/*`. Empty: the whole graph, decoding included, which is a
            sure way to lose a detector.
        calibration: Training pictures that activation ranges are taken from; 0: all that were picked.
    """

    name: ClassVar[str] = "quantize"
    resumes: ClassVar[bool] = False

    exclude: tuple[str, ...] = ("head",)
    calibration: Annotated[int, Ge(0)] = 0

    def run(self, inputs: QuantizeInputs, out: Path, progress: Progress) -> Quantized:
        """Place, calibrate, insert.

        Raises:
            ModelError: The model cannot be read, is quantized already, or its activations are not finite.
        """
        import onnx

        from stages.dataset import load_dataset
        from stages.onnx_files import load_onnx
        from stages.quantize.calibrate import CalibrationPictures, activation_scales
        from stages.quantize.insert import insert_qdq
        from stages.quantize.placement import name_nodes, place

        model = name_nodes(load_onnx(inputs.onnx / "model.onnx"))
        placement = place(model, exclude=self.exclude)
        spec = load_model_spec(inputs.onnx.path)
        chosen = load_dataset(inputs.index).calibration[: self.calibration or None]
        scales = activation_scales(
            model,
            placement.activations,
            CalibrationPictures(inputs.pictures, chosen),
            spec=spec.input,
            progress=progress,
        )
        folder = out / "onnx"
        folder.mkdir()
        onnx.save(insert_qdq(model, placement, scales), folder / "model.onnx")
        replace(spec, parent_digest=inputs.onnx.digest).save(folder)
        report = {**asdict(placement), "scales": scales}
        (folder / "placement.json").write_text(json.dumps(report, indent=1, sort_keys=True) + "\n")
        return Quantized(
            onnx=Artifact.of(folder), quantized=len(placement.nodes), left_out=len(placement.left_out)
        )
