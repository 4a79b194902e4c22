"""The work of the export stage: fuse, trace, simplify, compare, write."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import onnxslim
import torch

from stages.artifact import Artifact
from stages.checkpoint import load_module
from stages.export import Export, Exported, ExportInputs
from stages.export.culprit import find_culprit
from stages.export.tracing import trace
from stages.yolo import C2f
from targets.errors import ExportError, UsageError
from targets.model import InputSpec, ModelSpec, load_model_spec

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from stages.stage import Progress

OPSETS = range(13, 21)  # per-channel Q/DQ needs 13; torch's TorchScript exporter ends at 20
# Above what fusing and another order of summing change (measured on v5u to 26: 1e-4 px and 1e-6), far
# below what a wrong graph does.
BOX_TOLERANCE_PX = 0.05
SCORE_TOLERANCE = 1e-3


def export(stage: Export, inputs: ExportInputs, out: Path, progress: Progress) -> Exported:
    """Run the stage."""
    spec = load_model_spec(inputs.checkpoint.path)
    module = load_module(inputs.checkpoint)
    spec = replace(spec, input=_input_of(stage, spec, module), parent_digest=inputs.checkpoint.digest)
    images = torch.zeros(1, 3, spec.input.height, spec.input.width)
    progress(0, 3, "tracing")
    fused = _prepare(load_module(inputs.checkpoint))
    try:
        raw = trace(fused, images, opset=stage.opset)
    except ExportError as exc:
        raise find_culprit(fused, images, opset=stage.opset, error=exc) from exc
    progress(1, 3, "simplifying")
    model = onnxslim.slim(onnx.load_from_string(raw))
    progress(2, 3, "comparing")
    _compare(module, model, spec)
    folder = out / "onnx"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    spec.save(folder)
    return Exported(onnx=Artifact.of(folder), notes=())


def _input_of(stage: Export, spec: ModelSpec, module: Any) -> InputSpec:
    if stage.opset not in OPSETS:
        raise UsageError(
            f"`export.opset: {stage.opset}` is out of range.",
            hint=f"Set it to a version from {OPSETS.start} to {OPSETS.stop - 1}; 17 is read by every target.",
        )
    side_px = stage.imgsz or spec.input.width
    stride = int(module.stride.max())
    if side_px % stride:
        raise UsageError(
            f"`export.imgsz: {side_px}` is not a multiple of {stride}, the stride of {spec.family}.",
            hint=f"Set it to {max(1, round(side_px / stride)) * stride}.",
        )
    return replace(spec.input, height=side_px, width=side_px)


def _prepare(module: Any) -> Any:
    """Fuse normalisation into convolutions, and let the head give decoded boxes and scores alone."""
    module.fuse(verbose=False)
    for part in module.modules():
        if isinstance(part, C2f):
            part.forward = part.forward_split  # one Split instead of two Slices
    head = module.model[-1]
    head.export, head.format, head.shape = True, "onnx", None
    return module.requires_grad_(requires_grad=False)


def _compare(module: Any, model: onnx.ModelProto, spec: ModelSpec) -> None:
    """See that graph and checkpoint agree: what fusing and tracing get wrong is silent otherwise.

    Raises:
        ExportError: They don't.
    """
    shape = (1, 3, spec.input.height, spec.input.width)
    images = np.random.default_rng(0).random(shape, dtype=np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    given = session.run(None, {"images": images})[0]
    with torch.inference_mode():
        wanted = module(torch.from_numpy(images))[0].numpy()
    boxes_px, scores = _differences(given, wanted, spec)
    if not (boxes_px <= BOX_TOLERANCE_PX and scores <= SCORE_TOLERANCE):
        raise ExportError(
            "The exported graph does not answer as the checkpoint: "
            f"boxes differ by {boxes_px:.2g} px, scores by {scores:.2g}.",
            hint="A module of your own that inherits from Ultralytics' Conv and changes `forward` is fused "
            "wrongly: inherit from nn.Module instead.",
        )


def _differences(
    given: NDArray[np.float32], wanted: NDArray[np.float32], spec: ModelSpec
) -> tuple[float, float]:
    """Give the largest difference of boxes and of scores.

    An end-to-end head sorts by score, and near scores change places: there only sorted scores are compared.
    """
    if given.shape != wanted.shape:
        return float("inf"), float("inf")
    if spec.output == "end2end":
        return 0.0, float(np.abs(np.sort(given[..., 4]) - np.sort(wanted[..., 4])).max())
    gap = np.abs(given - wanted)
    return float(gap[:, :4].max()), float(gap[:, 4:].max())
