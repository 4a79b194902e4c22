"""Single training steps on a device: how fast, how much memory, and how far off the prediction was."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from benchmarks.training_cards import build_model, count_model
from pipeline.gpus.predict import CONTEXT_BYTES, GIB, needed_bytes
from stages.gmac import copy_of
from stages.memory.step import draw_targets
from stages.yolo import DEFAULT_CFG

BOXES = 20
_WARM_UP = 5


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How a step is made.

    Attributes:
        precision: `fp32` has TF32 off; `amp` is FP16 on a GPU and BF16 on a CPU.
        batch: Pictures.
        imgsz: Side, in pixels.
        channels_last: Memory order of weights and pictures.
        compiled: By torch.compile.
        fused: Optimizer in one kernel.
        device: To work on.
    """

    precision: Literal["fp32", "tf32", "amp"] = "amp"
    batch: int = 16
    imgsz: int = 640
    channels_last: bool = False
    compiled: bool = False
    fused: bool = False
    device: str = "cuda"


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a step took.

    Attributes:
        img_s: Pictures a second, the median step.
        allocated_gib: In tensors at most; NaN on a CPU.
        reserved_gib: By PyTorch's allocator at most; NaN on a CPU.
    """

    img_s: float
    allocated_gib: float
    reserved_gib: float


PLAIN = {name: Setting(precision=name) for name in ("fp32", "tf32", "amp")}


def levers() -> dict[str, Setting]:
    """Give each lever alone, against `amp` of `PLAIN`."""
    plain = PLAIN["amp"]
    return {
        "channels_last": replace(plain, channels_last=True),
        "torch.compile": replace(plain, compiled=True),
        "fused optimizer": replace(plain, fused=True),
        "batch 64": replace(plain, batch=64),
    }


def measure(module: Any, setting: Setting, *, steps: int) -> Step:
    """Train a copy of `module` for some steps on pictures that are on the device already."""
    on_gpu = setting.device != "cpu"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = setting.precision == "tf32"
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    step = _make_step(module, setting)
    times = [_timed(step, on_gpu=on_gpu) for _ in range(_WARM_UP + steps)][_WARM_UP:]
    return Step(
        img_s=setting.batch / statistics.median(times),
        allocated_gib=torch.cuda.max_memory_allocated() / GIB if on_gpu else math.nan,
        reserved_gib=torch.cuda.max_memory_reserved() / GIB if on_gpu else math.nan,
    )


def prediction_errors(*, sizes: Sequence[str], batches: Sequence[int] = (8, 16, 32)) -> list[dict[str, Any]]:
    """Hold predicted memory of v8 against what PyTorch reserves here; `off` is a part of the latter."""
    rows = []
    for name in (f"yolov8{size}.yaml" for size in sizes):
        module = build_model(name)
        footprint = count_model(name, boxes=BOXES)
        for batch in batches:
            reserved_gib = measure(module, Setting(batch=batch), steps=3).reserved_gib
            predicted_gib = (needed_bytes(footprint, batch) - CONTEXT_BYTES) / GIB
            off = predicted_gib / reserved_gib - 1
            rows.append(
                {"what": "memory", "model": name, "batch": batch, "predicted_gib": predicted_gib,
                 "reserved_gib": reserved_gib, "off": off}
            )  # fmt: skip
    return rows


def _make_step(module: Any, setting: Setting) -> Callable[[], None]:
    """Give a function that does with a batch what Ultralytics' trainer does, up to optimizer and EMA."""
    order = torch.channels_last if setting.channels_last else torch.contiguous_format
    model = copy_of(module).train().to(setting.device, memory_format=order)
    model.args = DEFAULT_CFG
    criterion = model.init_criterion()
    averaged = copy_of(model).to(setting.device)
    parameters = [parameter.requires_grad_() for parameter in model.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=setting.fused or None)
    forward = torch.compile(model) if setting.compiled else model
    half = torch.float16 if setting.device != "cpu" else torch.bfloat16
    amp = setting.precision == "amp"
    scaler = torch.amp.GradScaler("cuda", enabled=amp and setting.device != "cpu")
    pictures = torch.randint(
        256, (setting.batch, 3, setting.imgsz, setting.imgsz), dtype=torch.uint8, device=setting.device
    )
    targets = {name: value.to(setting.device) for name, value in draw_targets(setting.batch, BOXES).items()}

    def step() -> None:
        with torch.autocast(setting.device.partition(":")[0], dtype=half, enabled=amp):
            images = (pictures.float() / 255).contiguous(memory_format=order)
            loss = criterion(forward(images), targets)[0].sum()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        with torch.no_grad():
            for mean, value in zip(averaged.parameters(), parameters, strict=True):
                mean.lerp_(value, 0.001)

    return step


def _timed(step: Callable[[], None], *, on_gpu: bool) -> float:
    begin = time.perf_counter()
    step()
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - begin
