"""Equalize: a float model whose channels use the grids of INT8 alike, and which computes the same.

Light: the plan imports this in every run, so onnx waits until `run`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from stages.artifact import Artifact
from stages.stage import Progress
from targets.model import load_model_spec


@dataclass(frozen=True, kw_only=True)
class EqualizeInputs:
    """What is equalized.

    Attributes:
        onnx: The exported model.
    """

    onnx: Artifact


@dataclass(frozen=True, kw_only=True)
class Equalized:
    """The model, ready for calibration.

    Attributes:
        onnx: `model.onnx` and `model.json`.
        pairs: Of convolutions that were equalized; none where SiLU stands between them.
    """

    onnx: Artifact
    pairs: int

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know."""
        if self.pairs:
            return ()
        return (
            "quantize.equalize: no pair of convolutions could be equalized; SiLU lets no factor through.",
        )


@dataclass(frozen=True, kw_only=True)
class Equalize:
    """Cross-layer equalization of all pairs of convolutions that admit it."""

    name: ClassVar[str] = "quantize"
    resumes: ClassVar[bool] = False

    def run(self, inputs: EqualizeInputs, out: Path, progress: Progress) -> Equalized:
        """Equalize, and write the model.

        Raises:
            ModelError: The model cannot be read, or is quantized already.
        """
        from stages.quantize.calibration.calibrate import load_float
        from stages.quantize.cross_layer import equalize

        progress(0, 1, "equalizing")
        model, pairs = equalize(load_float(inputs.onnx / "model.onnx"))
        folder = out / "onnx"
        folder.mkdir()
        (folder / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
        replace(load_model_spec(inputs.onnx.path), parent_digest=inputs.onnx.digest).save(folder)
        return Equalized(onnx=Artifact.of(folder), pairs=pairs)
