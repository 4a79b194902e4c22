"""One side of `benchmarks.edge`, in a process of its own: looks at all pictures whenever it is told to."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2

Look = Callable[[Any], tuple[list[float], list[list[float]]]]
"""From a picture to preprocess, inference and postprocess in ms, and boxes (N, 6)."""


def main(side: str, engine: str, pictures: list[str]) -> None:
    """Answer each line of stdin with a line of JSON."""
    look = {"ours": _ours, "theirs": _theirs}[side](Path(engine))
    read = [cv2.imread(path) for path in pictures]
    for _ in sys.stdin:
        times, boxes = [], []
        for picture in read:
            began = time.perf_counter()
            parts, found = look(picture)
            times.append([1e3 * (time.perf_counter() - began), *parts])
            boxes.append(found)
        print(json.dumps({"times": times, "boxes": boxes, "memory_mib": _resident_mib()}), flush=True)


def _ours(engine: Path) -> Look:
    from edgebound import Detector

    detector = Detector.open(engine, conf=0.25, iou=0.7)

    def look(picture: Any) -> tuple[list[float], list[list[float]]]:
        found = detector(picture)
        times = found.times
        return [times.preprocess, times.inference, times.postprocess], found.boxes.tolist()

    return look


def _theirs(engine: Path) -> Look:
    from ultralytics import YOLO

    _compute_in_float32()
    model = YOLO(engine, task="detect")

    def look(picture: Any) -> tuple[list[float], list[list[float]]]:
        (found,) = model.predict(picture, conf=0.25, iou=0.7, device="cpu", verbose=False)
        speed = found.speed
        return [speed["preprocess"], speed["inference"], speed["postprocess"]], found.boxes.data.tolist()

    return look


def _compute_in_float32() -> None:
    """Let OpenVINO compute what the engine says, as on our side.

    Where the CPU has bfloat16, Ultralytics lets OpenVINO take that, which gives other boxes.
    """
    import openvino

    class Core(openvino.Core):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.set_property("CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    openvino.Core = Core


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 2**20


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
