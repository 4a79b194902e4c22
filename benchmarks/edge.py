"""Edge: our Detector against Ultralytics' `predict`, on the same OpenVINO engine and pictures.

```
python -m benchmarks.edge [--quick]
```
Each side is a fresh process that is asked in turns, so that imports, start-up and memory are its own. Keys
and what is wanted of them, all ours over theirs:
- `end_to_end`: p50 from picture to boxes, at most 1
- `pre_post`: p50 of preprocessing and postprocessing together, as each side times itself, at most 0.5
- `startup`: from the start of Python to the first boxes, at most 0.3
- `memory`: resident after the last picture, at most 0.25
- `boxes_that_differ`: of all boxes above a score of 0.26, those with no partner of IoU >= 0.99, the same
  class, and a score within 0.001; wanted 0

Both compute in float32, as the engine says; left alone, Ultralytics takes bfloat16 where the CPU has it.

The engine is the test data's YOLOv8n, fine-tuned for a few epochs on its blood cells at 640 px: pictures of
640 x 480 fit the input without rounding, and the two letterboxes round apart otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.form import show
from benchmarks.precision_sets import TEST_DATA, Case, Subject, prepare
from targets.model import load_model_spec

ROOT = Path(__file__).resolve().parent.parent
CONF, IOU = 0.25, 0.7
_SURE = 0.26  # boxes nearer to the threshold may be on its two sides
_MATCH_IOU, _MATCH_SCORE = 0.99, 1e-3
_PASSES = {True: 2, False: 10}


def main(arguments: Sequence[str]) -> None:
    """Measure, and print the result."""
    parser = argparse.ArgumentParser(prog="benchmarks.edge")
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args(arguments).quick
    with tempfile.TemporaryDirectory(prefix="edgebound-edge-") as name:
        folder = Path(name)
        subject = prepare(_case(quick=quick), folder / "project")
        pictures = [str(subject.pictures.path / one.file) for one in subject.dataset.val]
        sides = {"ours": subject.fp32.path, "theirs": _for_ultralytics(subject, folder)}
        starts = [
            {side: _start_up(side, engine, pictures) for side, engine in sides.items()} for _ in range(3)
        ]
        seen = _take_turns(sides, pictures, passes=_PASSES[quick])
    own, peer = ({"startup_s": _median(starts, side), **_summary(seen[side])} for side in sides)
    ratios = {
        "end_to_end": own["end_to_end_ms"] / peer["end_to_end_ms"],
        "pre_post": own["pre_post_ms"] / peer["pre_post_ms"],
        "startup": own["startup_s"] / peer["startup_s"],
        "memory": own["memory_mib"] / peer["memory_mib"],
        "boxes_that_differ": _differ(seen["ours"]["boxes"], seen["theirs"]["boxes"]),
    }
    show("edge", [{"side": "ours", **own}, {"side": "theirs", **peer}], ratios, {})


def _case(*, quick: bool) -> Case:
    return Case(
        name="edge",
        arguments=("--set", f"train.epochs={1 if quick else 6}", "--set", "train.batch=8"),
        data="bccd-mini",
        imgsz=640,
    )


def _for_ultralytics(subject: Subject, folder: Path) -> Path:
    """Give the same files as Ultralytics wants them: in a folder of a certain name, with its metadata."""
    engine = folder / "yolov8n_openvino_model"
    engine.mkdir()
    for name in ("model.xml", "model.bin"):
        shutil.copyfile(subject.fp32.path / name, engine / name)
    spec = load_model_spec(subject.fp32.path)
    names = "".join(f"  {place}: {name}\n" for place, name in enumerate(spec.class_names))
    sides = f"[{spec.input.height}, {spec.input.width}]"
    (engine / "metadata.yaml").write_text(
        f"stride: 32\ntask: detect\nbatch: 1\nimgsz: {sides}\nnames:\n{names}", encoding="utf-8"
    )
    return engine


# ------------------------------------------------------------------------------------------- two processes
def _take_turns(sides: dict[str, Path], pictures: Sequence[str], *, passes: int) -> dict[str, dict[str, Any]]:
    """Let each side look at all pictures in turns; the first pass warms up."""
    turns: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    with (
        _worker("ours", sides["ours"], pictures) as ours,
        _worker("theirs", sides["theirs"], pictures) as theirs,
    ):
        workers = {"ours": ours, "theirs": theirs}
        for number in range(passes + 1):
            for side, worker in workers.items():
                answer = _ask(worker)
                if number:
                    turns[side].append(answer)
    return {
        side: {
            "times": [row for one in found for row in one["times"]],
            "memory_mib": found[-1]["memory_mib"],
            "boxes": found[-1]["boxes"],
        }
        for side, found in turns.items()
    }


@contextmanager
def _worker(side: str, engine: Path, pictures: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.edge_worker", side, str(engine), *pictures],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "YOLO_VERBOSE": "false", "YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true"},
    )
    try:
        yield process
    finally:
        process.communicate()


def _ask(worker: subprocess.Popen[str]) -> dict[str, Any]:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write("look\n")
    worker.stdin.flush()
    for line in worker.stdout:
        if line.startswith("{"):
            answer: dict[str, Any] = json.loads(line)
            return answer
    raise SystemExit("a side ended early")


def _start_up(side: str, engine: Path, pictures: Sequence[str]) -> float:
    """Time a process from its start to its first boxes, in seconds."""
    import time

    began = time.perf_counter()
    with _worker(side, engine, pictures[:1]) as worker:
        _ask(worker)
        return time.perf_counter() - began


# ------------------------------------------------------------------------------------------- what it comes to
def _median(starts: Sequence[dict[str, float]], side: str) -> float:
    return statistics.median(one[side] for one in starts)


def _summary(seen: dict[str, Any]) -> dict[str, float]:
    times = np.array(seen["times"])  # (calls, 4): all, preprocess, inference, postprocess
    return {
        "end_to_end_ms": float(np.median(times[:, 0])),
        "pre_post_ms": float(np.median(times[:, 1] + times[:, 3])),
        "inference_ms": float(np.median(times[:, 2])),
        "memory_mib": float(seen["memory_mib"]),
        "boxes": sum(map(len, seen["boxes"])),
    }


def _differ(ours: Sequence[Any], theirs: Sequence[Any]) -> float:
    """Give the share of sure boxes, of either side, that have no partner on the other."""
    alone = total = 0
    for own, peer in zip(ours, theirs, strict=True):
        a, b = (np.array(one, np.float64).reshape(-1, 6) for one in (own, peer))
        same = _same(a, b)
        alone += int(
            (~same.any(axis=1) & (a[:, 4] > _SURE)).sum() + (~same.any(axis=0) & (b[:, 4] > _SURE)).sum()
        )
        total += int((a[:, 4] > _SURE).sum() + (b[:, 4] > _SURE).sum())
    return alone / total


def _same(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.bool_]:
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:4], b[None, :, 2:4])
    common = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(one[:, 2:4] - one[:, :2], axis=1) for one in (a, b)]
    iou = common / (areas[0][:, None] + areas[1][None] - common)
    near = np.abs(a[:, None, 4] - b[None, :, 4]) <= _MATCH_SCORE
    same: NDArray[np.bool_] = (iou >= _MATCH_IOU) & near & (a[:, None, 5] == b[None, :, 5])
    return same


if __name__ == "__main__":
    assert TEST_DATA.exists(), "set EDGEBOUND_TEST_DATA to the folder of the test data"
    main(sys.argv[1:])
