"""Statistics: how long a comparison of two models takes, against a bootstrap that evaluates every resample.

```
python -m benchmarks.statistics [--quick]
```
Drawn sets (`benchmarks.statistics_sets`). Keys and what is wanted of them:
- `pair_seconds`: `verify`'s whole comparison of two models on 5,000 pictures, 80 classes, 100 detections a
  picture, 1,000 resamples, wall time: at most 120
- `pair_cpu_seconds`: the same in processor time, which a busy machine disturbs less
- `pair_peak_mib`: most memory of the process that does it, Python and its packages included
- `times_as_fast_as_evaluating`: 1,000 resamples by faster-coco-eval over ours, drift and interval alone, in
  processor time, on 500 pictures; theirs is extrapolated from a few resamples, which all take the same work
- `difference_pt`: most that our mAP50-95 of those resamples differs from theirs

`--quick` evaluates 2 resamples instead of 10.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.form import show
from benchmarks.statistics_sets import Size, draw_set
from stages.artifact import Artifact
from stages.dataset import Dataset, save_dataset
from stages.evaluation.bootstrap import compare_precisions, draw
from stages.evaluation.coco import coco_precisions
from stages.evaluation.detect import Detections
from stages.evaluation.matching import match
from stages.evaluation.precision import weighted_precisions
from stages.stage import no_progress
from stages.verify import Compare, CompareInputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 1000
FULL = Size()
SMALL = Size(pictures=500)
MAX_DET = 300


@dataclass(kw_only=True)
class Took:
    """Seconds that something took."""

    wall_s: float = 0.0
    cpu_s: float = 0.0


def main(arguments: list[str]) -> None:
    """Measure, and print the result."""
    if arguments[:1] == ["--compare"]:  # in a process of its own, whose memory is nobody else's
        print(json.dumps(compare(Path(arguments[1]))))
        return
    with tempfile.TemporaryDirectory(prefix="edgebound-statistics-") as name:
        store(Path(name), FULL)
        command = [sys.executable, "-m", "benchmarks.statistics", "--compare", name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    pair = json.loads(done.stdout.splitlines()[-1])
    rows, ratios = against_evaluating(resamples=2 if "--quick" in arguments else 10)
    show(
        "statistics",
        [{"what": "comparison, whole", **vars(FULL), **pair}, *rows],
        {
            "pair_seconds": pair["wall_s"],
            "pair_cpu_seconds": pair["cpu_s"],
            "pair_peak_mib": pair["peak_mib"],
            **ratios,
        },
        {},
    )


def store(folder: Path, size: Size) -> None:
    """Write a set and two models' detections as `verify` wants them."""
    dataset, baseline, candidate = draw_set(size, seed=0)
    for name in ("index", "baseline", "candidate"):
        (folder / name).mkdir()
    save_dataset(dataset, folder / "index")
    baseline.save(folder / "baseline")
    candidate.save(folder / "candidate")


def compare(folder: Path) -> dict[str, float]:
    """Compare as `verify` does, reading from disk included."""
    inputs = CompareInputs(
        baseline=Artifact.of(folder / "baseline"),
        candidate=Artifact.of(folder / "candidate"),
        index=Artifact.of(folder / "index"),
    )
    with _timed() as took:
        compared = Compare(resamples=RESAMPLES).run(inputs, folder / "out", no_progress)
    return {
        "wall_s": took.wall_s,
        "cpu_s": took.cpu_s,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "drift_pt": compared.drift_pt,
    }


def against_evaluating(*, resamples: int) -> tuple[list[dict[str, Any]], dict[str, float | None]]:
    """Bootstrap both ways, turn by turn.

    Args:
        resamples: How many the peer evaluates.
    """
    dataset, baseline, candidate = draw_set(SMALL, seed=0)
    weights = draw(SMALL.pictures, RESAMPLES, seed=0)
    ours, theirs = Took(), Took()
    turns = 2
    differences = []
    for turn in range(turns):
        with _timed(ours):
            sides = [match(one, dataset.val, classes=SMALL.classes) for one in (baseline, candidate)]
            compare_precisions(sides[0], sides[1], weights)
        for case in range(1 + turn, 1 + resamples, turns):
            with _timed(theirs):
                loss = _loss_by_evaluating(dataset, [baseline, candidate], weights[:, case])
            mine = [_map(weighted_precisions(side, weights[:, case : case + 1])) for side in sides]
            differences.append(abs(mine[0] - mine[1] - loss))
    ours_s, theirs_s = ours.cpu_s / turns, theirs.cpu_s / resamples * RESAMPLES
    rows = [
        {"what": "drift and interval, ours", **vars(SMALL), "cpu_s": ours_s, "wall_s": ours.wall_s / turns},
        {
            "what": f"by evaluating, extrapolated from {resamples} resamples",
            **vars(SMALL),
            "cpu_s": theirs_s,
            "wall_s": theirs.wall_s / resamples * RESAMPLES,
        },
    ]
    ratios: dict[str, float | None] = {
        "times_as_fast_as_evaluating": theirs_s / ours_s,
        "difference_pt": 100 * max(differences),
    }
    return rows, ratios


def _loss_by_evaluating(dataset: Dataset, sides: Sequence[Detections], times: NDArray[np.uint16]) -> float:
    """Make the resampled set, and evaluate both models on it."""
    places = np.repeat(np.arange(len(times)), times)
    drawn = Dataset(
        class_names=dataset.class_names,
        train=(),
        val=tuple(dataset.val[place] for place in places),
        calibration=(),
    )
    before, after = (
        _map(coco_precisions(_repeat(side, places), drawn, max_det=MAX_DET)[..., None]) for side in sides
    )
    return before - after


def _repeat(found: Detections, places: NDArray[np.intp]) -> Detections:
    ends = np.cumsum(found.counts)
    rows = [found.boxes[ends[place] - found.counts[place] : ends[place]] for place in places]
    return Detections(counts=found.counts[places], boxes=np.concatenate(rows))


def _map(precisions: NDArray[np.float64]) -> float:
    """Give mAP50-95 from (classes, 10, 1); classes without boxes are NaN or -1."""
    of_class = precisions[:, :, 0].mean(axis=1)
    return float(of_class[of_class >= 0].mean())


@contextmanager
def _timed(took: Took | None = None) -> Iterator[Took]:
    took = took or Took()
    wall, cpu = time.perf_counter(), time.process_time()
    yield took
    took.wall_s += time.perf_counter() - wall
    took.cpu_s += time.process_time() - cpu


if __name__ == "__main__":
    main(sys.argv[1:])
