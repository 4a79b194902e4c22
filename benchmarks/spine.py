"""The spine: what the pipeline adds to the stages' own work, and our evaluator against `yolo val`.

```
python -m benchmarks.spine [--quick]
```
Keys and what is wanted of them:
- `overhead_fraction`: wall time of the demo run that is not inside a stage, at most 0.05
- `cached_seconds`: a run that has nothing to do, at most 2
- `help_seconds`: at most 0.4
- `evaluator_outside_inference`: time per picture outside inference, ours over theirs, at most 0.5
- `evaluator_total`: the same with inference, at most 1
- `evaluator_map_difference_pt`: at most 0.1

`--quick` trains for two epochs instead of eight, so that the run's fixed costs weigh more.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.form import show
from benchmarks.stored import artifacts_of

_REPEATS = 5


def main(arguments: list[str]) -> None:
    """Measure, and print the result."""
    settings = ["--set", "train.epochs=2"] if "--quick" in arguments else []
    with tempfile.TemporaryDirectory(prefix="edgebound-spine-") as name:
        folder = Path(name)
        wall_s, report = _timed_run(folder, settings)
        stages_s = sum(step["seconds"] for step in report["steps"])
        cached_s = min(_timed_run(folder, settings)[0] for _ in range(_REPEATS))
        help_s = min(_timed(["--help"], folder)[0] for _ in range(_REPEATS))
        compared = _compare(folder, report)
    rows = [
        {"what": "demo run", "wall_s": wall_s, "stages_s": stages_s, "verdict": report["verdict"]},
        {"what": "cached run", "wall_s": cached_s},
        {"what": "--help", "wall_s": help_s},
        *compared["rows"],
    ]
    ratios = {
        "overhead_fraction": (wall_s - stages_s) / wall_s,
        "cached_seconds": cached_s,
        "help_seconds": help_s,
        **compared["ratios"],
    }
    show("spine", rows, ratios, {})


def _timed(arguments: list[str], folder: Path) -> tuple[float, str]:
    command = [sys.executable, "-m", "pipeline", *arguments]
    begin = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env=_environment()
    )
    if done.returncode not in {0, 4}:
        sys.exit(done.stderr)
    return time.perf_counter() - begin, done.stdout


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}


def _timed_run(folder: Path, settings: list[str]) -> tuple[float, dict[str, Any]]:
    seconds, out = _timed(["run", "--demo", "--json", *settings], folder)
    report: dict[str, Any] = json.loads(out.splitlines()[-1])
    return seconds, report


def _compare(folder: Path, report: dict[str, Any]) -> dict[str, Any]:
    """Compare the evaluators on the run's ONNX file and validation pictures."""
    from benchmarks.evaluator import compare_evaluators

    artifact = artifacts_of(report, folder)
    return compare_evaluators(
        artifact("export", "onnx"), artifact("data check", "index"), artifact("data render", "data")
    )


if __name__ == "__main__":
    main(sys.argv[1:])
