"""Training: what mixed precision brings, what our trainer costs over plain Ultralytics, levers of speed.

```
python -m benchmarks.training [--quick]
```
Keys and what is wanted of them:
- `amp_speedup_tf32_off`: pictures a second of a training step, AMP over FP32 with TF32 off, v8m at 640: ≥ 2.3
- `amp_speedup_tf32_on`: the same over FP32 with TF32 on, which is PyTorch's default for convolutions
- `amp_memory`: reserved memory of a step, AMP over FP32: at most 0.6
- `vs_stock`: pictures a second of a whole training on a GPU, ours over `yolo train amp=True`: ≥ 1.0
- `vs_stock_autotuned`: likewise, with `autotune_loader`: ≥ 1.3 where stock settings starve
- `cpu_overhead`: processor time of training on a CPU, ours over plain Ultralytics, less one: at most 0.03
- `memory_prediction_error`: most that predicted memory is off, n to x at three batches: at most 0.15

All but `cpu_overhead` need an NVIDIA GPU and are null without one. The rows have each lever on and off:
channels_last, torch.compile, a fused optimizer, a larger batch, cached pictures; and how fast one process
loads pictures, by side, mosaic and cache. `--quick` trains less.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.form import show
from benchmarks.training_cards import build_model
from benchmarks.training_loading import loading
from benchmarks.training_runs import Course, prepare, train_ours, train_stock
from benchmarks.training_steps import PLAIN, Step, levers, measure, prediction_errors

GPU_KEYS = (
    "amp_speedup_tf32_off",
    "amp_speedup_tf32_on",
    "amp_memory",
    "vs_stock",
    "vs_stock_autotuned",
    "memory_prediction_error",
)
NO_GPU = "there is no NVIDIA GPU in this machine"
MODEL = "yolov8m.yaml"


def main(arguments: list[str]) -> None:
    """Measure what this machine can, and print the result."""
    quick = "--quick" in arguments
    with tempfile.TemporaryDirectory(prefix="edgebound-training-") as folder:
        rows, ratios = on_cpu(Path(folder), turns=2 if quick else 4)
        rows += loading(Path(folder) / "loading", sides=(640,) if quick else (640, 1280))
        if torch.cuda.is_available():
            more, figures = on_gpu(Path(folder), quick=quick)
            rows += more
            ratios |= figures
    ratios = {**dict.fromkeys(GPU_KEYS), **ratios}
    show("training", rows, ratios, {key: NO_GPU for key, value in ratios.items() if value is None})


def on_cpu(folder: Path, *, turns: int) -> tuple[list[dict[str, Any]], dict[str, float | None]]:
    """Train both ways turn by turn; on one thread, so that processor time is work and not waiting."""
    torch.set_num_threads(1)
    course = Course(model="yolov8n.yaml", imgsz=160, batch=8, epochs=3, device="cpu")
    data = prepare(folder, train=64, val=8, size_px=160)
    sides = {"ours": train_ours, "stock": train_stock}
    took: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(turns):
        for name in sorted(sides, reverse=bool(turn % 2)):  # neither is always the first
            took[name].append(sides[name](course, data, folder / f"{name}{turn}").cpu_s)
    # What else runs on the machine only ever adds, so the least is the nearest to the work itself.
    ours, stock = min(took["ours"]), min(took["stock"])
    rows = [
        {"what": f"training on a CPU, {name}", "model": course.model, "cpu_s": min(seconds), "of": seconds}
        for name, seconds in took.items()
    ]
    return rows, {"cpu_overhead": ours / stock - 1}


def on_gpu(folder: Path, *, quick: bool) -> tuple[list[dict[str, Any]], dict[str, float | None]]:
    """Measure steps in each precision and with each lever, whole trainings, and the prediction of memory."""
    module = build_model(MODEL)
    steps = {name: measure(module, setting, steps=10 if quick else 30) for name, setting in PLAIN.items()}
    fp32, tf32, amp = (steps[name] for name in ("fp32", "tf32", "amp"))
    more = {name: measure(module, setting, steps=10 if quick else 30) for name, setting in levers().items()}
    course = Course(model="yolov8s.yaml", imgsz=640, batch=16, epochs=2, device="0")
    data = prepare(folder / "gpu", train=128 if quick else 512, val=16, size_px=640)
    rates = {
        name: statistics.median(train(course, data, folder / f"gpu-{name}{turn}").img_s for turn in range(2))
        for name, train in {
            "ours": train_ours,
            "stock": train_stock,
            "ours cached": _cached,
            "ours tuned": _tuned,
        }.items()
    }
    errors = prediction_errors(sizes="nsm" if quick else "nsmlx")
    rows = [_row(name, step) for name, step in {**steps, **more}.items()]
    rows += [
        {"what": f"training, {name}", "model": course.model, "img_s": rate} for name, rate in rates.items()
    ]
    rows += errors
    return rows, {
        "amp_speedup_tf32_off": amp.img_s / fp32.img_s,
        "amp_speedup_tf32_on": amp.img_s / tf32.img_s,
        "amp_memory": amp.reserved_gib / fp32.reserved_gib,
        "vs_stock": rates["ours"] / rates["stock"],
        "vs_stock_autotuned": rates["ours tuned"] / rates["stock"],
        "memory_prediction_error": max(abs(row["off"]) for row in errors),
    }


def _cached(course: Course, data: Path, out: Path) -> Any:
    return train_ours(course, data, out, cache="ram")


def _tuned(course: Course, data: Path, out: Path) -> Any:
    return train_ours(course, data, out, tuned=True)


def _row(name: str, step: Step) -> dict[str, Any]:
    return {"what": f"step, {name}", "model": MODEL, **vars(step)}


if __name__ == "__main__":
    main(sys.argv[1:])
