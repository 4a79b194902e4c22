"""Precisions: FP32, TF32, FP16 and BF16 in training, what each costs, and whether its loss is right."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy, deepcopy
from dataclasses import dataclass
from typing import Any

import torch

from stages.train import Precision, PrecisionProbe
from stages.train.memory import MIB, free_memory, is_out_of_memory
from targets.errors import UsageError

ALL: tuple[Precision, ...] = ("fp32", "tf32", "fp16", "bf16")
# Of the same batch and weights. FP16 and BF16 keep 11 and 8 bits of a number, so that an activation is off by
# 2^-11 or 2^-8 at each layer; the mean over thousands of anchors is off by less, unless something overflows.
AGREES = 0.02
WARM_UP = 5  # steps: kernels are chosen, and the GradScaler halves its scale until nothing overflows
MAX_NORM = 10.0  # at which Ultralytics clips gradients

Batch = dict[str, Any]
Step = Callable[[Batch], float]


@dataclass(frozen=True)
class Mode:
    """A precision on a kind of device."""

    precision: Precision
    device: str

    @property
    def dtype(self) -> torch.dtype | None:
        """Type that autocast takes where it may; None for none."""
        return {"fp16": torch.float16, "bf16": torch.bfloat16}.get(self.precision)

    @property
    def scaled(self) -> bool:
        """Whether gradients would vanish in this type, and are scaled."""
        return self.precision == "fp16"

    @property
    def for_ultralytics(self) -> bool | str:
        """Its own setting `amp`."""
        return "bf16" if self.precision == "bf16" else self.precision == "fp16"

    def autocast(self) -> AbstractContextManager[Any]:
        """Give what forward passes run in."""
        dtype = self.dtype
        return nullcontext() if dtype is None else torch.autocast(self.device, dtype=dtype)


def set_tf32(*, allowed: bool) -> None:
    """Let convolutions and matrix products on a GPU round their inputs to TF32, or forbid it."""
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


@contextmanager
def tf32_kept() -> Iterator[None]:
    """Leave the switches of TF32 as they were."""
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    try:
        yield
    finally:
        for backend, value in zip(backends, before, strict=True):
            backend.allow_tf32 = value


def why_not(precision: Precision, device: torch.device) -> str:
    """Say why a device cannot train in a precision; nothing if it can."""
    if precision == "fp32":
        return ""
    if device.type != "cuda":
        return "" if precision == "bf16" else f"{precision} needs an NVIDIA GPU"
    name = torch.cuda.get_device_name(device)
    if precision == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return f"{name} has no BF16; Ampere and later have"
    if precision == "tf32" and torch.cuda.get_device_capability(device)[0] < 8:
        return f"{name} has no TF32; Ampere and later have"
    return ""


def check_precision(amp: Precision | str, device: torch.device) -> None:
    """See that the device trains in this precision.

    Raises:
        UsageError: It does not, or not through Ultralytics, which mixes precisions with CUDA alone.
    """
    if amp in {"auto", "fp32"}:
        return
    precision: Precision = next(one for one in ALL if one == amp)
    reason = why_not(precision, device)
    if not reason and device.type != "cuda":
        reason = f"Ultralytics trains in {precision} on an NVIDIA GPU alone"
    if reason:
        raise UsageError(f"`train.amp: {amp}`: {reason}.", hint="Set train.amp to auto or fp32.")


def make_step(model: Any, mode: Mode) -> Step:
    """Give a function that does a training step on a copy of the model, and gives the loss.

    The copy keeps its weights (the learning rate is 0), so that all steps see the same model; its optimizer
    holds as much as a real one, and the copy itself as much as the EMA.
    """
    trained = deepcopy(model).train()
    optimizer = torch.optim.AdamW([one for one in trained.parameters() if one.requires_grad], lr=0.0)
    scaler = torch.amp.GradScaler(mode.device, enabled=mode.scaled)

    def step(batch: Batch) -> float:
        set_tf32(allowed=mode.precision != "fp32")
        with mode.autocast():
            loss = trained(copy(batch))[0].sum()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(trained.parameters(), max_norm=MAX_NORM)
        scaler.step(optimizer)
        before = scaler.get_scale()
        scaler.update()
        step.overflows += int(scaler.get_scale() < before)  # type: ignore[attr-defined]
        optimizer.zero_grad()
        return float(loss.detach())

    step.overflows = 0  # type: ignore[attr-defined]
    return step


def probe_precisions(model: Any, batch: Batch, *, device: torch.device, steps: int) -> list[PrecisionProbe]:
    """Try all precisions on a batch, one after the other."""
    probes: list[PrecisionProbe] = []
    reference = math.nan
    for precision in ALL:
        probe, loss = _probe(model, batch, Mode(precision, device.type), device=device, steps=steps)
        reference = loss if precision == "fp32" else reference
        error = abs(loss - reference) / reference if reference else math.nan
        known = error if math.isfinite(error) else None
        probes.append(PrecisionProbe(**{**vars(probe), "loss_error": known}))
    return probes


def _probe(
    model: Any, batch: Batch, mode: Mode, *, device: torch.device, steps: int
) -> tuple[PrecisionProbe, float]:
    """Try one precision; give its loss too, NaN if it could not be tried."""
    reason = why_not(mode.precision, device)
    if reason:
        return PrecisionProbe(precision=mode.precision, why_not=reason), math.nan
    free_memory()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    try:
        step = make_step(model, mode)
        loss = step(batch)
        for _ in range(WARM_UP):
            step(batch)
        step.overflows = 0  # type: ignore[attr-defined]
        times = [_timed(step, batch, device) for _ in range(steps)]
    except RuntimeError as exc:
        if not is_out_of_memory(exc):
            raise
        return PrecisionProbe(precision=mode.precision, why_not="memory ran out"), math.nan
    seconds = statistics.median(times)
    return PrecisionProbe(
        precision=mode.precision,
        step_ms=seconds * 1000,
        img_s=len(batch["img"]) / seconds,
        peak_mib=torch.cuda.max_memory_reserved(device) / MIB if device.type == "cuda" else None,
        overflows=step.overflows if mode.scaled else None,  # type: ignore[attr-defined]
    ), loss


def _timed(step: Step, batch: Batch, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    begin = time.perf_counter()
    step(batch)  # reading the loss waits for the forward pass
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin


def fastest(probes: Sequence[PrecisionProbe]) -> Precision:
    """Give the precision with the shortest step, of those whose loss is that of FP32."""
    good = [one for one in probes if one.step_ms is not None and _agrees(one)]
    return min(good, key=lambda one: one.step_ms or math.inf).precision if good else "fp32"


def _agrees(probe: PrecisionProbe) -> bool:
    return probe.loss_error is not None and probe.loss_error <= AGREES and not probe.overflows
