"""Operator checks: how long the answer for every target takes.

```
python -m benchmarks.check [--quick]
```
Keys and what is wanted of them:
- `check_seconds_yolov8x`: YOLOv8x (untrained, 640 px) against every target of the program at once, after
  loading, at most 3; the CPU targets' runtimes are asked in children
- `check_seconds_yolov8x_tensorrt`: of it, against the TensorRT targets, which tables answer
- `targets_per_second`: every target at once
- `check_memory_over_model`: by how much the memory of a process that loads and checks, and of the children in
  which it asks the runtimes, grows at most, over the size of the file, at most 3

`--quick` asks every target once instead of five times.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.form import show

_REPEATS = 5
_MEMORY = """
import sys
from pathlib import Path
from benchmarks.check import check_and_watch
check_and_watch(Path(sys.argv[1]), sys.argv[2:])
"""


def main(arguments: list[str]) -> None:
    """Measure, and print the result."""
    from pipeline.profiles import find_profiles, profile_names
    from stages.check.examine import examine, load_named

    repeats = 1 if "--quick" in arguments else _REPEATS
    with tempfile.TemporaryDirectory(prefix="edgebound-check-") as name:
        file = _export(Path(name))
        every = find_profiles(profile_names())
        boards = [one for one in every.values() if one.runtime == "tensorrt"]
        begin = time.perf_counter()
        model = load_named(file)
        load_s = time.perf_counter() - begin
        boards_s = min(_timed(lambda: examine(model, boards)) for _ in range(_REPEATS))
        every_s = min(_timed(lambda: examine(model, [*every.values()])) for _ in range(repeats))
        grown = _memory(file, list(every))
        rows = [
            {"what": "load", "seconds": load_s, "file_mib": file.stat().st_size / 2**20},
            {"what": "TensorRT targets alone, from tables", "seconds": boards_s, "targets": len(boards)},
            {"what": "every target, CPU runtimes asked", "seconds": every_s, "targets": len(every)},
            {"what": "memory", "grown_mib": grown / 2**20},
        ]
        ratios = {
            "check_seconds_yolov8x": every_s,
            "check_seconds_yolov8x_tensorrt": boards_s,
            "targets_per_second": len(every) / every_s,
            "check_memory_over_model": grown / file.stat().st_size,
        }
    show("check", rows, ratios, {})


def _timed(do: Callable[[], object]) -> float:
    begin = time.perf_counter()
    do()
    return time.perf_counter() - begin


def _export(folder: Path) -> Path:
    """Export YOLOv8x with random weights: what it says of operators does not depend on them."""
    import torch
    from ultralytics import YOLO

    network = YOLO("yolov8x.yaml", verbose=False).model.fuse(verbose=False).eval()
    network.model[-1].export = True
    network.model[-1].format = "onnx"
    picture = torch.zeros(1, 3, 640, 640)
    torch.onnx.export(network, (picture,), folder / "yolov8x.onnx", opset_version=17, dynamo=False)
    return folder / "yolov8x.onnx"


def _memory(file: Path, targets: list[str]) -> int:
    """Give by how many bytes the memory of a process and its children grows that loads and checks."""
    command = [sys.executable, "-c", _MEMORY, str(file), *targets]
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return int(json.loads(done.stdout)) * 1024  # Linux counts in KiB


def check_and_watch(file: Path, targets: list[str]) -> None:
    """Load and check in this process, and print by how many KiB it and its children grew at most."""
    import onnx.numpy_helper  # noqa: F401 - libraries are no part of what is measured

    from pipeline.profiles import find_profiles
    from stages.check.examine import examine, load_named

    profiles = [*find_profiles(targets).values()]
    seen: list[int] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            seen.append(sum(_status_kib(process, "VmRSS") for process in ("self", *_children())))

    before = _status_kib("self", "VmHWM")
    watcher = threading.Thread(target=watch)
    watcher.start()
    examine(load_named(file), profiles)
    done.set()
    watcher.join()
    print(max(_status_kib("self", "VmHWM"), *seen) - before)


def _children() -> list[str]:
    tasks = Path("/proc/self/task").iterdir()
    return [process for task in tasks for process in (task / "children").read_text().split()]


def _status_kib(process: str, field: str) -> int:
    """Give a figure that Linux has of a process; 0 where it has just ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    return int(status.split(f"{field}:")[1].split()[0]) if f"{field}:" in status else 0


if __name__ == "__main__":
    main(sys.argv[1:])
