"""The work of the quantize stage."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import onnx

from stages.artifact import Artifact
from stages.dataset import load_dataset
from stages.learned import load_learned
from stages.quantize import LeftInFloat, Quantize, Quantized, QuantizeInputs
from stages.quantize.assemble import Groundwork, lay
from stages.quantize.calibration.calibrate import CalibrationPictures, load_float
from stages.quantize.calibration.storage import load_statistics
from stages.quantize.dialect import to_dialect
from stages.quantize.half import load_kept
from stages.quantize.learned import with_learned
from stages.quantize.report import describe, summarize
from stages.quantize.rules import refuse_breaches, rules_for
from targets.model import load_model_spec

if TYPE_CHECKING:
    from pathlib import Path

    from stages.stage import Progress


def quantize(stage: Quantize, inputs: QuantizeInputs, out: Path, progress: Progress) -> Quantized:
    """Run the stage."""
    progress(0, 3, "placing")
    model = load_float(inputs.onnx / "model.onnx")
    spec = load_model_spec(inputs.onnx.path)
    progress(1, 3, "finding scales")
    statistics = load_statistics(inputs.statistics)
    chosen = load_dataset(inputs.index).calibration
    ground = lay(
        model,
        statistics,
        stage,
        dialect=inputs.dialect,
        spec=spec.input,
        images=CalibrationPictures(inputs.pictures, chosen, spec.input),
    )
    if inputs.ranges is not None:
        ground = with_learned(ground, load_learned(inputs.ranges), inputs.dialect)
    progress(2, 3, "inserting")
    kept = load_kept(inputs.half) if inputs.half else None
    result = to_dialect(ground.assemble(), inputs.dialect, keep_fp32=kept)
    refuse_breaches(result, rules_for(inputs.runtime, inputs.runtime_version, inputs.dialect))
    folder = out / "onnx"
    folder.mkdir()
    onnx.save(result, folder / "model.onnx")
    replace(spec, parent_digest=inputs.onnx.digest).save(folder)
    _report(ground, folder)
    summary = summarize(model, ground.placement)
    return Quantized(
        onnx=Artifact.of(folder),
        summary=str(summary),
        left_out=tuple(LeftInFloat(node=one.node, reason=one.reason) for one in ground.placement.left_out),
    )


def _report(ground: Groundwork, folder: Path) -> None:
    """Write what was placed where, for people and for programs."""
    (folder / "placement.txt").write_text(
        describe(ground.model, ground.placement, ground.grids), encoding="utf-8"
    )
    grids = {name: asdict(grid) for name, grid in ground.grids.items()}
    record = {**asdict(ground.placement), "grids": grids, "seven_bits": sorted(ground.reduced)}
    (folder / "placement.json").write_text(
        json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )
