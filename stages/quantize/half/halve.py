"""The work of `Halve`: fragile nodes are found, the others converted, and all of it is written down."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from stages.artifact import Artifact
from stages.dataset import load_dataset
from stages.quantize.calibration.calibrate import CalibrationPictures, load_float
from stages.quantize.half import RECORD, SCHEMA, Halve, Halved, HalveInputs
from stages.quantize.half.convert import to_half
from stages.quantize.half.fragile import ENOUGH, Fragile, find_fragile
from stages.quantize.half.trial import Tolerance
from stages.quantize.opset import raise_opset
from targets.model import load_model_spec

if TYPE_CHECKING:
    from pathlib import Path

    import onnx

    from stages.stage import Progress


def halve(settings: Halve, inputs: HalveInputs, out: Path, progress: Progress) -> Halved:
    """Do the work of `Halve.run`."""
    model = raise_opset(load_float(inputs.onnx / "model.onnx"), inputs.dialect.opset)
    spec = load_model_spec(inputs.onnx.path)
    chosen = load_dataset(inputs.index).calibration[: settings.calibration or None]
    tolerance = Tolerance(boxes_px=settings.tolerance_px, scores=settings.tolerance_score)
    fragile = find_fragile(
        model,
        CalibrationPictures(inputs.pictures, chosen, spec.input),
        spec,
        tolerance=tolerance,
        total=len(chosen),
        progress=progress,
    )
    folder = out / "onnx"
    folder.mkdir()
    half = to_half(model, fragile.reasons.keys())
    (folder / "model.onnx").write_bytes(half.SerializeToString(deterministic=True))
    replace(spec, parent_digest=inputs.onnx.digest).save(folder)
    record = {
        "schema": SCHEMA,
        "pictures": len(chosen),
        "tolerance": asdict(tolerance),
        **_record(model, fragile),
    }
    (folder / RECORD).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return Halved(
        onnx=Artifact.of(folder), kept_fp32=len(fragile.reasons), notes=tuple(_notes(fragile, tolerance))
    )


def _record(model: onnx.ModelProto, fragile: Fragile) -> dict[str, object]:
    operators = {node.name: node.op_type for node in model.graph.node}
    kept = [
        {"node": name, "operator": operators[name], "reason": reason}
        for name, reason in fragile.reasons.items()
    ]
    return {"kept_fp32": kept, "gap": asdict(fragile.gap)}


def _notes(fragile: Fragile, tolerance: Tolerance) -> Iterator[str]:
    if fragile.gap.detections < ENOUGH:
        yield f"FP16 is judged by {fragile.gap.detections} detections on the calibration pictures: too few."
    if tolerance.used(fragile.gap) > 1:
        yield (
            f"FP16 moves {fragile.gap}, more than {tolerance.boxes_px:g} px or {tolerance.scores:g}; "
            "no single nodes are to blame."
        )
