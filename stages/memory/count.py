"""Count: the footprint of a training, from the model itself."""

from __future__ import annotations

import math
from typing import Any

from stages.artifact import Artifact
from stages.dataset import load_dataset
from stages.memory import Footprint, Memory, Need
from stages.memory.step import record_step
from stages.memory.trace import fit
from stages.stage import Progress

BATCHES = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
# Two recordings make a line. Not with one picture: some operators then take another path.
RECORDED = (2, 4)
FP32_BYTES = 4


def count(stage: Memory, module: Any, progress: Progress) -> Footprint:
    """Record a training step of `module` twice, and play it to the allocator for all `BATCHES`.

    Raises:
        ModelError: The model does one thing or another by values.
    """
    small, large = (_record(stage, module, batch, progress) for batch in RECORDED)
    trace = fit(small, large)
    sizes = [FP32_BYTES * parameter.numel() for parameter in module.parameters()]
    kept = optimizer_values(stage.optimizer)
    needs = []
    for place, batch in enumerate(BATCHES):
        progress(len(RECORDED) + place / len(BATCHES), len(RECORDED) + 1, f"batch {batch}")
        peak = trace.peak(batch, held=(3 + kept) * sizes)  # weights, gradients and EMA
        needs.append(Need(batch=batch, allocated=peak.peak_allocated, reserved=peak.reserved))
    return Footprint(
        parameters=sum(sizes) // FP32_BYTES,
        boxes=stage.boxes,
        weights=sum(sizes),
        optimizer=kept * sum(sizes),
        needs=tuple(needs),
        works=trace.works,
        kernels=trace.kernels,
    )


def fullest(index: Artifact, *, mosaic: bool) -> int:
    """Give the boxes that the fullest picture of a batch will have.

    A mosaic is of four: in the worst case that is worth planning for, the fullest and three of the mean.
    """
    counts = [len(picture.boxes) for picture in load_dataset(index).train] or [0]
    more = 3 * sum(counts) / len(counts) if mosaic else 0
    return max(1, math.ceil(max(counts) + more))


def optimizer_values(optimizer: str) -> int:
    """Give how many values an optimizer keeps for each parameter.

    torch.optim keeps momentum for SGD and two moments for the others; Ultralytics sets momentum for RMSprop
    too, and its MuSGD has one for each half of its step. `auto` is AdamW or MuSGD.
    """
    return 1 if optimizer == "SGD" else 2


def _record(stage: Memory, module: Any, batch: int, progress: Progress) -> Any:
    progress(RECORDED.index(batch), len(RECORDED) + 1, f"recording a step with {batch} pictures")
    return record_step(module, batch=batch, side_px=stage.imgsz, boxes=stage.boxes, half=stage.half)
