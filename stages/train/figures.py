"""Figures: what training measures of itself. Light: pipeline and report import this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Precision = Literal["fp32", "tf32", "fp16", "bf16"]
PictureCache = Literal["", "ram", "disk", "resized"]
Cause = Literal["", "disk", "decode", "augment", "collate", "workers", "other"]


@dataclass(frozen=True, kw_only=True)
class EpochMetrics:
    """One epoch; mAP as Ultralytics measures it, None where it was not measured.

    Attributes:
        epoch: From 1.
        box_loss: Mean over the epoch, as the two below.
        cls_loss: Of the classes.
        dfl_loss: Of the box distribution; L1 for YOLO26, which has none.
        map50: 0 to 1.
        map50_95: 0 to 1.
        lr: Highest learning rate of the last batch.
        seconds: Validation included.
        waiting_s: For pictures; the first batch after a start is left out, as in `computing_s`.
        computing_s: From the moment that a batch was there to its end.
    """

    epoch: int
    box_loss: float
    cls_loss: float
    dfl_loss: float
    map50: float | None
    map50_95: float | None
    lr: float
    seconds: float
    waiting_s: float = 0.0
    computing_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class PeakMemory:
    """The most that training held at once, in MiB.

    Attributes:
        allocated_mib: By tensors on the GPU; None on a CPU.
        reserved_mib: By PyTorch on the GPU, the CUDA context not counted; None on a CPU.
        resident_mib: By the whole process in main memory, without those that load pictures.
    """

    allocated_mib: float | None
    reserved_mib: float | None
    resident_mib: float


@dataclass(frozen=True, kw_only=True)
class PrecisionProbe:
    """One precision, tried for a few training steps on the user's model and data; None: not measured.

    Attributes:
        precision: `fp32` has TF32 off, `tf32` on.
        step_ms: Median of a forward and a backward pass and a step of the optimizer.
        img_s: Pictures a second, at the batch of the probe, without loading them.
        peak_mib: Reserved on the GPU.
        loss_error: |loss - loss in FP32| / loss in FP32, of the same batch and weights.
        overflows: Steps that the GradScaler left out, once its scale had settled.
        why_not: Why it could not be tried; empty if it could.
    """

    precision: Precision
    step_ms: float | None = None
    img_s: float | None = None
    peak_mib: float | None = None
    loss_error: float | None = None
    overflows: int | None = None
    why_not: str = ""


@dataclass(frozen=True, kw_only=True)
class LoadingParts:
    """What one picture takes on its way into a batch, in one process; the mean of a sample of the user's.

    Attributes:
        pictures: In the sample.
        cold: Whether it was read from the disk itself: all pictures together are more than main memory has
            free, so that most reads are; otherwise they come from the page cache after the first epoch.
        read_ms: Bytes of the file, or of the cached copy.
        decode_ms: To pixels, and to the side of training.
        augment_ms: Mosaic, flips, colours; and the labels with them.
        collate_ms: Its part of putting a batch together.
        pin_ms: Its part of copying a batch into pinned memory; 0 without a GPU.
    """

    pictures: int
    cold: bool
    read_ms: float
    decode_ms: float
    augment_ms: float
    collate_ms: float
    pin_ms: float = 0.0

    @property
    def total_ms(self) -> float:
        """All parts but pinning, for which PyTorch has a thread."""
        return self.read_ms + self.decode_ms + self.augment_ms + self.collate_ms


@dataclass(frozen=True, kw_only=True)
class LoaderTrial:
    """Settings of loading, and how fast they were with nothing to wait for; None: not tried.

    Attributes:
        workers: Processes; 0 loads in the training process itself.
        prefetch: Batches that each of them has ready ahead.
        cache: Of decoded pictures.
        img_s: Pictures a second.
        why_not: Why it was not tried; empty if it was.
    """

    workers: int
    prefetch: int
    cache: PictureCache
    img_s: float | None = None
    why_not: str = ""


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """The search for settings of loading.

    Attributes:
        before: As the user has it.
        after: What training took.
        trials: In order, `before` first.
        seconds: That it took.
    """

    before: LoaderTrial
    after: LoaderTrial
    trials: tuple[LoaderTrial, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Feeding:
    """How long training waited for pictures, of those batches that were measured.

    Attributes:
        waiting_s: For pictures.
        computing_s: On them.
        workers: Processes that loaded, with `prefetch` batches ahead each, and `cache`.
        gpu_busy: Part of the time that the GPU had work, by NVML, in the mean; None without.
        cause: Of starvation, where it was measured; empty without starvation.
        says: It, in words, with what to do; empty without starvation.
        parts: Of loading, measured where training starved.
        tuning: None where it was not asked for.
    """

    waiting_s: float
    computing_s: float
    workers: int
    prefetch: int
    cache: PictureCache
    gpu_busy: float | None = None
    cause: Cause = ""
    says: str = ""
    parts: LoadingParts | None = None
    tuning: Tuning | None = None

    @property
    def waiting(self) -> float:
        """The part of the time, 0 to 1."""
        whole = self.waiting_s + self.computing_s
        return self.waiting_s / whole if whole else 0.0
