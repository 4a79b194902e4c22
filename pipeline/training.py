"""Training, for the report: device, precision, batch, memory, and how it was fed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stages.train.figures import Feeding, PeakMemory, Precision, PrecisionProbe

if TYPE_CHECKING:
    from stages.train import Trained

GIB_MIB = 1024


@dataclass(frozen=True, kw_only=True)
class Training:
    """How the baseline was trained.

    Attributes:
        device: As PyTorch names it.
        precision: In which it was trained.
        batch: Pictures at once at the end, over all ranks.
        asked_batch: Pictures at once that were asked for or, with `auto`, found to fit; more than `batch`
            where memory ran out.
        effective_batch: Pictures to an optimizer step.
        memory: At its peak.
        probe: Of precisions; empty where none was to be chosen.
        feeding: How long training waited for pictures.
    """

    device: str
    precision: Precision
    batch: int
    asked_batch: int
    effective_batch: int
    memory: PeakMemory | None = None
    probe: tuple[PrecisionProbe, ...] = ()
    feeding: Feeding | None = None


def describe_training(trained: Trained) -> Training | None:
    """Give what a training measured of itself; None where nothing was trained."""
    if not trained.precision:
        return None
    return Training(
        device=trained.device,
        precision=trained.precision,
        batch=trained.batch,
        asked_batch=trained.asked_batch,
        effective_batch=trained.effective_batch,
        memory=trained.memory,
        probe=trained.probe,
        feeding=trained.feeding,
    )


def speed_up(training: Training) -> float | None:
    """Give how many times as fast as FP32 without TF32 the precision was, in the probe."""
    steps = {one.precision: one.step_ms for one in training.probe}
    taken, plain = steps.get(training.precision), steps.get("fp32")
    return plain / taken if taken and plain else None


def facts_of(training: Training) -> dict[str, tuple[str, str]]:
    """Give the facts to be read first: name, value, note."""
    faster = speed_up(training)
    device, _, name = training.device.partition(" (")
    facts = {
        "device": (device, name.removesuffix(")")),
        "precision": (training.precision.upper(), f"{faster:.2f} × FP32" if faster else ""),
        "batch": (str(training.batch), _batch_note(training)),
    }
    if memory := training.memory:
        facts["memory at its peak"] = _memory(memory)
    if feeding := training.feeding:
        facts["waiting for pictures"] = (f"{feeding.waiting:.1%}".replace("%", " %"), "of the time")
        if feeding.gpu_busy is not None:
            facts["GPU at work"] = (f"{feeding.gpu_busy:.0%}".replace("%", " %"), "by NVML")
    return facts


def training_line(training: Training) -> str:
    """Say it in one line."""
    told = (
        f"{name} {value}" + (f" ({note})" if note else "")
        for name, (value, note) in facts_of(training).items()
    )
    return ", ".join(told)


def tuning_sentence(feeding: Feeding) -> str:
    """Say what trying settings of loading came to; nothing where none were tried."""
    if (tuning := feeding.tuning) is None:
        return ""
    before, after = tuning.before, tuning.after
    if not before.img_s or not after.img_s:
        return "None of the settings of loading that were tried could be measured."
    tried = sum(one.img_s is not None for one in tuning.trials)
    if after == before:
        return (
            f"{tried} settings of loading were tried, none faster than yours: {before.img_s:.0f} pictures/s."
        )
    return (
        f"{tried} settings of loading were tried: {before.img_s:.0f} pictures/s as set, {after.img_s:.0f}"
        f" with {after.workers} processes, {after.prefetch} batches ahead and train.cache"
        f" {after.cache or 'off'}: {after.img_s / before.img_s:.2f} times as fast."
    )


def _batch_note(training: Training) -> str:
    notes = []
    if training.asked_batch > training.batch:
        notes.append(f"memory ran out with {training.asked_batch}")
    if training.effective_batch > training.batch:
        notes.append(f"{training.effective_batch} to an optimizer step")
    return "; ".join(notes)


def _memory(memory: PeakMemory) -> tuple[str, str]:
    resident = f"{memory.resident_mib / GIB_MIB:.1f} GiB"
    if memory.reserved_mib is None:
        return resident, "main memory"
    allocated = (
        f", {memory.allocated_mib / GIB_MIB:.1f} in tensors" if memory.allocated_mib is not None else ""
    )
    return f"{memory.reserved_mib / GIB_MIB:.1f} GiB", f"GPU{allocated}; {resident} of main memory"
