"""Export: a checkpoint becomes an ONNX model of fixed shape, the same bytes every time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from annotated_types import Ge, Le, MultipleOf

from stages.artifact import Artifact
from stages.stage import Progress

__all__ = ["Export", "ExportInputs", "Exported"]


@dataclass(frozen=True, kw_only=True)
class ExportInputs:
    """What is exported.

    Attributes:
        checkpoint: As `stages.checkpoint` writes it.
    """

    checkpoint: Artifact


@dataclass(frozen=True, kw_only=True)
class Exported:
    """The exported model.

    Attributes:
        onnx: `model.onnx` and `model.json`.
        notes: What a person should know, a sentence each.
    """

    onnx: Artifact
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Export:
    """Export with a fixed shape and batch 1, so that every engine can plan its memory.

    Attributes:
        opset: ONNX operator set version; 17 is what TensorRT 8.5 and all later ones read.
        imgsz: Side of the square input, in pixels; 0 is that of training.
    """

    name: ClassVar[str] = "export"
    resumes: ClassVar[bool] = False

    opset: Annotated[int, Ge(13), Le(20)] = 17
    imgsz: Annotated[int, Ge(0), MultipleOf(32)] = 0

    def run(self, inputs: ExportInputs, out: Path, progress: Progress) -> Exported:
        """Export, simplify, and see that the result answers as the checkpoint does.

        Raises:
            ExportError: A module of the model cannot be expressed in ONNX.
            UsageError: `imgsz` or `opset` is out of range.
        """
        from stages.export.onnx_model import export

        return export(self, inputs, out, progress)
