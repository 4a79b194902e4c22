"""Operator checks: how long the answer for every target takes.

```
python -m benchmarks.check [--quick]
```
Keys and what is wanted of them:
- `check_seconds_yolov8x`: YOLOv8x (untrained, 640 px) against every target of the program at once, after
  loading, at most 3; the CPU targets' runtimes compile the model for it
- `check_seconds_yolov8x_tensorrt`: of it, against the TensorRT targets, which tables answer
- `targets_per_second`: every target at once
- `check_memory_over_model`: by how much the peak memory of a process grows that loads and checks, over the
  size of the file, at most 3; the runtimes are asked in children, which are not counted

`--quick` asks every target once instead of five times.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.form import show

_REPEATS = 5
_MEMORY = """
import json, sys
from pathlib import Path
from pipeline.profiles import find_profiles
from stages.check.examine import examine
from stages.onnx_files import load_onnx
import onnx.shape_inference, onnx.numpy_helper
def peak_kib():  # ru_maxrss would be that of the parent, if larger
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])
before = peak_kib()
examine(load_onnx(Path(sys.argv[1])), [*find_profiles(sys.argv[2:]).values()])
print(json.dumps([before, peak_kib()]))
"""


def main(arguments: list[str]) -> None:
    """Measure, and print the result."""
    from pipeline.profiles import find_profiles, profile_names
    from stages.check.examine import examine
    from stages.onnx_files import load_onnx

    repeats = 1 if "--quick" in arguments else _REPEATS
    with tempfile.TemporaryDirectory(prefix="edgebound-check-") as name:
        file = _export(Path(name))
        every = find_profiles(profile_names())
        boards = [one for one in every.values() if one.runtime == "tensorrt"]
        begin = time.perf_counter()
        model = load_onnx(file)
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
    """Give by how many bytes the peak of a process grows that loads and checks."""
    command = [sys.executable, "-c", _MEMORY, str(file), *targets]
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    before, after = json.loads(done.stdout)
    return int(after - before) * 1024  # Linux counts in KiB


if __name__ == "__main__":
    main(sys.argv[1:])
