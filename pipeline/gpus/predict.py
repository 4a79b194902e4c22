"""Predict: does a training fit a card, and what would it take there. Pure: figures in, figures out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from pipeline.gpus.catalogue import Gpu
from stages.memory import Footprint, Need

GIB = 2**30
# CUDA context with its kernels, cuBLAS workspaces: an allowance. A public out-of-memory message of PyTorch
# 2.11 on a T4 tells 0.15 GiB (14.54 in all, 13.90 allocated, 0.49 reserved besides); larger cards take more.
CONTEXT_BYTES = GIB // 2
# Part of a card's memory that a batch may take: the prediction was 9 % off the public figures of
# docs/training.md in the mean, and 16 % at most.
FILL = 0.9
# Part of what the roofline of its kernels allows that a training step reaches. Public logs of Ultralytics
# give 0.31 and 0.35 on an A100 (11x, 26x), 0.42 and 0.53 on an RTX 3090 (11m at batch 8 and 25); see
# docs/training.md.
EFFICIENCY = 0.4
# What the host takes for one kernel. 35 µs for 11s at batch 8 on an RTX 3090, which does not fill the card
# (public log); 30 µs in Ultralytics' AutoBatch table of v8n on an RTX 4090 (ultralytics#1451).
LAUNCH_S = 30e-6
VALIDATION = 1 / 3  # of the work of training: forward alone
NOMINAL_BATCH = 64  # Ultralytics' nbs

Compute = Literal["half", "tf32", "fp32"]
Fit = Literal["yes", "tight", "smaller batch", "no"]


@dataclass(frozen=True, kw_only=True)
class Task:
    """A training to be placed.

    Attributes:
        footprint: Of the model at its size.
        batch: Asked for; 0 takes the largest that fits, up to `nominal`.
        nominal: Pictures to an optimizer step.
        pictures: To train on; 0 if not known.
        val_pictures: To validate on, every epoch.
        epochs: Of the training.
        compute: What matrix products run in; `tf32` is `fp32` on a card without it.
    """

    footprint: Footprint
    batch: int
    nominal: int = NOMINAL_BATCH
    pictures: int = 0
    val_pictures: int = 0
    epochs: int = 0
    compute: Compute = "half"


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A training on a card. What is predicted is marked so wherever it is shown.

    Attributes:
        card: Name in the catalogue.
        device: Full name.
        usable_gib: Memory of the card.
        needed_gib: Predicted, for the batch asked for.
        largest_batch: Predicted, within `FILL` of the memory; 0 if not even one picture fits.
        fit: `tight` is within the memory, but not within `FILL`.
        batch: To take.
        accumulate: Batches to an optimizer step.
        rate_img_s: Of training, without loading pictures.
        rate: Where the rate is from.
        epoch_h: With validation; None if the number of pictures is not known.
        total_h: For all epochs.
        usd: For all epochs; None without a price.
    """

    card: str
    device: str
    usable_gib: float
    needed_gib: float
    largest_batch: int
    fit: Fit
    batch: int
    accumulate: int
    rate_img_s: float | None
    rate: Literal["predicted", "measured", "stated"]
    epoch_h: float | None
    total_h: float | None
    usd: float | None


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of a card beside the catalogue.

    Attributes:
        rate_img_s: Of this training there, if it was measured or a user says so.
        rate: Which of the two.
        usd_per_hour: Its price.
    """

    rate_img_s: float | None = None
    rate: Literal["measured", "stated"] = "stated"
    usd_per_hour: float | None = None


def place(task: Task, card: str, gpu: Gpu, known: Known) -> Placed:
    """Predict how a training would go on one card."""
    largest = largest_batch(task.footprint, gpu)
    asked = task.batch or max(1, min(largest, task.nominal))
    needed = needed_bytes(task.footprint, asked)
    batch = min(asked, largest) if needed > gpu.usable_gib * GIB else asked
    rate = known.rate_img_s or (predicted_rate(task, gpu, batch) if batch else None)
    epoch_h = total_h = None
    if rate and task.pictures:
        epoch_h = (task.pictures + VALIDATION * task.val_pictures) / rate / 3600
        total_h = epoch_h * task.epochs
    priced = total_h is not None and known.usd_per_hour is not None
    return Placed(
        card=card,
        device=gpu.device,
        usable_gib=gpu.usable_gib,
        needed_gib=needed / GIB,
        largest_batch=largest,
        fit=_fit(needed, gpu, largest),
        batch=batch,
        accumulate=max(1, round(task.nominal / batch)) if batch else 0,
        rate_img_s=rate,
        rate=known.rate if known.rate_img_s else "predicted",
        epoch_h=epoch_h,
        total_h=total_h,
        usd=total_h * known.usd_per_hour if priced else None,  # type: ignore[operator]  # both are known
    )


def needed_bytes(footprint: Footprint, batch: int) -> int:
    """Give the memory that a card must have for `batch` pictures: the line between two that were counted."""
    low, high = _around(footprint.needs, batch)
    each = (high.reserved - low.reserved) / (high.batch - low.batch)
    return round(CONTEXT_BYTES + low.reserved + each * (batch - low.batch))


def largest_batch(footprint: Footprint, gpu: Gpu) -> int:
    """Give the largest batch within `FILL` of a card's memory; 0 if there is none."""
    most = FILL * gpu.usable_gib * GIB
    low, high = 0, 2 * footprint.needs[-1].batch
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if needed_bytes(footprint, middle) <= most else (low, middle - 1)
    return low


def predicted_rate(task: Task, gpu: Gpu, batch: int) -> float:
    """Give pictures a second: the slower of the roofline of all kernels and of launching them.

    Each group of kernels takes as long as its FLOP or its traffic does, whichever is more (Williams et al.,
    "Roofline", 2009); a step reaches `EFFICIENCY` of that.
    """
    flop_s = 1e12 * _tflops(gpu, task.compute)
    byte_s = 1e9 * gpu.bandwidth_gb_s
    picture_s = sum(max(work.flop / flop_s, work.traffic / byte_s) for work in task.footprint.works)
    step_s = max(batch * picture_s / EFFICIENCY, task.footprint.kernels * LAUNCH_S)
    return batch / step_s


def _tflops(gpu: Gpu, compute: Compute) -> float:
    if compute == "half":
        return gpu.tflops.fp16
    return (compute == "tf32" and gpu.tflops.tf32) or gpu.tflops.fp32


def _fit(needed: int, gpu: Gpu, largest: int) -> Fit:
    if needed <= FILL * gpu.usable_gib * GIB:
        return "yes"
    if needed <= gpu.usable_gib * GIB:
        return "tight"
    return "smaller batch" if largest else "no"


def _around(needs: Sequence[Need], batch: int) -> tuple[Need, Need]:
    """Give the two counted batches that a batch lies between; the last two for what lies beyond."""
    pairs = list(pairwise(needs))
    return next((pair for pair in pairs if batch <= pair[1].batch), pairs[-1])
