"""Quantization-aware training: the model learns to live with INT8 where calibration alone loses too much."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipeline.config import Config
from pipeline.forms import Shared, Variant
from pipeline.runner import Step
from stages.artifact import Artifact
from stages.export import ExportInputs
from stages.train import TrainInputs
from stages.user_modules import digest_modules

# The weights are good already. Ultralytics warms biases up at a rate of 0.1 where the optimizer is named.
_GENTLE = {"warmup_epochs": 0.0, "warmup_bias_lr": 0.0, "mosaic": 0.0}


@dataclass(frozen=True, kw_only=True)
class Taught:
    """A model that was trained for INT8.

    Attributes:
        form: Its weights, in FP32.
        onnx: Its export.
        ranges: What it was trained to keep, layer by layer.
    """

    form: Variant
    onnx: Artifact
    ranges: Artifact


def teach(config: Config, shared: Shared, step: Step) -> Taught:
    """Tune the last form in FP32 with rounded weights and inputs; what it was teaches it.

    Args:
        config: Of the run, with `quantize.qat`.
        shared: What all targets share; the trained ranges suit every one of them.
        step: Runs a stage, or knows its result.

    Raises:
        EdgeboundError: ModelOpt is not installed.
    """
    settings, origin = config.quantize.qat, shared.forms[-1]
    assert settings is not None
    stage = replace(
        config.train,
        weights="",
        steps=settings.steps,
        optimizer="AdamW",
        lr0=settings.lr0,
        patience=0,
        int8=True,
        overrides={**config.train.overrides, **_GENTLE},
    )
    inputs = TrainInputs(
        index=shared.data.index,
        pictures=shared.pictures,
        weights=origin.model,
        teacher=origin.model if settings.distill else None,
        modules=config.model.modules,
        modules_digest=digest_modules(config.model.modules),
    )
    trained = step(stage, inputs, label="for int8")
    assert trained.ranges is not None
    exported = step(config.export, ExportInputs(checkpoint=trained.checkpoint), label="of qat")
    form = replace(origin, form="qat", model=trained.checkpoint, parent=origin)
    return Taught(form=form, onnx=exported.onnx, ranges=trained.ranges)
