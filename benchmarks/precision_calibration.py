"""What calibration costs: ours against onnxruntime's calibrators, on the same model, pictures and threads.

```
python -m benchmarks.precision_calibration SIDE MODEL.onnx IMAGES.npy
```
is one side in a process of its own: packages and pictures are loaded first, then its clock and its peak of
memory start. From the ONNX file to the ranges; each side looks at the tensors that it wants to quantize. The
peak is the kernel's VmHWM, set back before: `ru_maxrss` of a child begins with that of its parent.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.peers import OneByOne
from benchmarks.precision_measure import OURS
from benchmarks.precision_sets import say
from benchmarks.stored import ROOT

if TYPE_CHECKING:
    from numpy.typing import NDArray

MINMAX = "onnxruntime minmax"
DISTRIBUTIONS = {"onnxruntime entropy": "Entropy", "onnxruntime percentile": "Percentile"}
THEIRS = {MINMAX: "MinMax", **DISTRIBUTIONS}


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of calibrating once.

    Attributes:
        side: Whose calibration.
        pictures: It was given.
        seconds: Wall time.
        peak_mib: Memory above that of the process with its packages and pictures.
    """

    side: str
    pictures: int
    seconds: float
    peak_mib: float


def measure_costs(onnx: Path, images: Path, *, turns: int) -> list[Cost]:
    """Give the median cost of each side; they take turns."""
    costs: list[Cost] = []
    for turn in range(turns):
        for side in (OURS, *THEIRS):
            say(f"calibration by {side}, turn {turn + 1} of {turns}")
            costs.append(measure_apart(side, onnx, images))
    return [_median([cost for cost in costs if cost.side == side]) for side in (OURS, *THEIRS)]


def our_calibration(onnx: Path, images: NDArray[np.float32]) -> object:
    """Calibrate as our quantizer does: the one place here that knows its inside."""
    from stages.quantize.calibration.calibrate import load_float
    from stages.quantize.calibration.methods import find_range
    from stages.quantize.calibration.observe import observe
    from stages.quantize.calibration.tensors import find_tensors
    from stages.quantize.graph import Graph
    from stages.stage import no_progress

    model = load_float(onnx)
    one_by_one = (images[at : at + 1] for at in range(len(images)))
    seen = observe(model, find_tensors(Graph(model)), one_by_one, total=len(images), progress=no_progress)
    return {name: find_range(found, "mse", symmetric=False) for name, found in seen.items()}


def their_calibration(method: str, onnx: Path, images: NDArray[np.float32]) -> object:
    """Calibrate as `quantize_static` does, with the options of our session (`calibration.session`)."""
    import onnxruntime
    from onnxruntime.quantization import CalibrationMethod, create_calibrator
    from onnxruntime.quantization.registry import QDQRegistry

    with tempfile.TemporaryDirectory(prefix="edgebound-calibration-") as folder:
        calibrator = create_calibrator(
            onnx,
            list(QDQRegistry),
            augmented_model_path=f"{folder}/augmented.onnx",
            calibrate_method=CalibrationMethod[method],
        )
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.enable_mem_pattern = False
        options.add_session_config_entry("session.force_spinning_stop", "1")
        calibrator.infer_session = onnxruntime.InferenceSession(
            calibrator.augmented_model_path, options, providers=["CPUExecutionProvider"]
        )
        calibrator.collect_data(OneByOne(images, calibrator.infer_session.get_inputs()[0].name))
        found: object = calibrator.compute_data()
    return found


def main(side: str, onnx: Path, images: Path) -> None:
    """Measure one side in this process, and print its cost as JSON."""
    import onnx as _  # noqa: F401
    import onnxruntime.quantization  # noqa: F401

    pictures = np.load(images)
    seconds, peak_mib = measure_here(lambda: _calibrate(side, onnx, pictures))
    print(json.dumps({"side": side, "pictures": len(pictures), "seconds": seconds, "peak_mib": peak_mib}))


def _calibrate(side: str, onnx: Path, images: NDArray[np.float32]) -> object:
    return our_calibration(onnx, images) if side == OURS else their_calibration(THEIRS[side], onnx, images)


def measure_here(work: Callable[[], object]) -> tuple[float, float]:
    """Give seconds and MiB of peak memory above what is held now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # proc(5): sets VmHWM back
    held_kib = _status_kib("VmRSS")
    start = time.perf_counter()
    work()
    return time.perf_counter() - start, (_status_kib("VmHWM") - held_kib) / 1024


def _status_kib(key: str) -> int:
    found = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1])


def measure_apart(side: str, onnx: Path, images: Path) -> Cost:
    """Measure one side in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.precision_calibration", side, str(onnx), str(images)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def _median(costs: list[Cost]) -> Cost:
    return Cost(
        side=costs[0].side,
        pictures=costs[0].pictures,
        seconds=statistics.median(cost.seconds for cost in costs),
        peak_mib=statistics.median(cost.peak_mib for cost in costs),
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
