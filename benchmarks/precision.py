"""Precision: our INT8 against peers' on OpenVINO.

```
python -m benchmarks.precision [--quick] [--only demo8,bccd] [--work FOLDER] [--modelopt-python PATH]
```
Peers are Ultralytics' own INT8 export, onnxruntime's `quantize_static` with the head left out, and NVIDIA
ModelOpt's ONNX quantizer in a Python of its own (`pip install nvidia-modelopt[onnx]`). All have the same
model, the same calibration pictures and the same evaluator; all engines are OpenVINO's with 2 threads, timed
in turns.

Sets: `demo8` and `demo11`, yolov8n and yolo11n from scratch on the demo data with 2,000 validation pictures;
`bccd` and `bsdata`, real pictures, with a fine-tuned yolov8n. Keys and what is wanted of them:
- `drift_vs_best_peer`: loss of mAP50-95 over the best peer's, the worst demo set, at most 0.5; and for each
  set
- `our_drift_pt`: the worst demo set, at most 0.2 where the one above is not met
- `agreement_vs_best_peer`: mAP50-95 with FP32's detections for truth, on real pictures outside the
  calibration set, over the best peer's, the worst real set, at least 1
- `sqnr_vs_best_peer_db`: signal by noise at the outputs, minus the best peer's, the worst real set, above 0
- `latency_vs_fastest_peer`: p50 over the fastest peer's, yolov8n at imgsz 320, at most 1.05
- `int8_speedup`: FP32's p50 over ours, the same, at least 1.6
- `calibration_speedup`: over the faster of onnxruntime's calibrators that keep distributions as ours does
  (entropy, percentile), at least 2; `..._vs_minmax`: over its min-max, which keeps two numbers a tensor
- `calibration_memory_ratio`: our peak over the smaller of theirs, at most 0.5; `..._vs_minmax` likewise

`--quick` has a small demo set and bccd. Models are kept in `--work`, a folder each set, so that a second run
does not train again.
"""

from __future__ import annotations

import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.form import show
from benchmarks.peers import make_peers
from benchmarks.precision_calibration import Cost, measure_costs
from benchmarks.precision_measure import Figures, measure
from benchmarks.precision_ratios import TIMED_SET, sum_up
from benchmarks.precision_sets import CASES, QUICK_CASES, Case, prepare

_TURNS = 3


def main(arguments: list[str]) -> None:
    """Measure, and print the result."""
    options = parse(arguments)
    figures: list[Figures] = []
    rows: list[dict[str, Any]] = []
    costs: list[Cost] = []
    with ExitStack() as stack:
        work = options.work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgebound-")))
        for case in options.cases:
            found, absent = _judge(case, work, options)
            figures += found
            rows += [asdict(row) for row in found]
            rows += [{"set": case.name, "method": name, "missing": why} for name, why in absent.items()]
        costs = _calibrate(options.cases, work, turns=1 if options.quick else _TURNS)
    ratios, missing = sum_up(figures, costs)
    show("precision", [*rows, *map(asdict, costs)], ratios, missing)


def parse(arguments: Sequence[str]) -> Namespace:
    """Read the command line; adds `cases`."""
    parser = ArgumentParser(prog="python -m benchmarks.precision")
    parser.add_argument("--quick", action="store_true", help="a small demo set and bccd")
    parser.add_argument("--only", default="", help="sets, by comma")
    parser.add_argument(
        "--work", type=lambda text: Path(text).resolve(), help="folder that models are kept in"
    )
    parser.add_argument("--modelopt-python", type=Path, help="a Python that has nvidia-modelopt[onnx]")
    options = parser.parse_args(arguments)
    known = {case.name: case for case in (QUICK_CASES if options.quick else CASES)}
    wanted = options.only.split(",") if options.only else list(known)
    if strangers := sorted(set(wanted) - known.keys()):
        parser.error(f"--only: {', '.join(strangers)} is not among {', '.join(known)}")
    options.cases = [known[name] for name in wanted]
    return options


def _judge(case: Case, work: Path, options: Namespace) -> tuple[list[Figures], dict[str, str]]:
    subject = prepare(case, work / case.name)
    peers, absent = make_peers(subject, modelopt_python=options.modelopt_python)
    return measure(subject, peers), absent


def _calibrate(cases: Sequence[Case], work: Path, *, turns: int) -> list[Cost]:
    """Take what the peers were given: yolov8n at imgsz 320 where it is there, or the first set."""
    names = [case.name for case in cases]
    folder = work / (TIMED_SET if TIMED_SET in names else names[0]) / "peers"
    return measure_costs(folder / "named.onnx", folder / "calibration.npy", turns=turns)


if __name__ == "__main__":
    main(sys.argv[1:])
