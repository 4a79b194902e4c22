"""How often does the gate cry wolf, and how often does it miss?

```
python -m benchmarks.gate_rates [--quick] [--folder DIR]
```
The demo's detector, and what becomes of it: harmless changes, true drifts of twice the limit, and the same
engine twice. Each change is judged on a sample of its own of the validation pictures, by the real comparison
and the real gate. The samples overlap, and JPEG has five qualities only: its changes differ by their samples.
The latency of a candidate is made up: what is asked is about detections. Keys, and what is wanted of them:
- `harmless_refused`: share of verdicts on harmless changes that refuse: 0.05 at most. Half of the changes
  re-encode the pictures as JPEG (quality 95 to 99, colour at full resolution), half put noise of 1e-4 on all
  weights. At quality 90 and half the colour resolution the demo's small pictures truly lose 1.3 pt.
- `harmless_open`: of those that are inconclusive: more pictures are wanted
- `drift_passed`: share of verdicts on true drifts that pass: 0.05 at most. Noise on weights, boxes that
  jitter, detections that are lost and scores in disorder, each so strong that on all pictures mAP50-95 loses
  twice the limit of the step (1.0 pt), found by bisection; `drift_refused`: of those that are refused
- `same_engine_apart`: share of measurements of one engine as two candidates, side by side, whose p50 differs
  by 10 % or more and that are not said to be noisy: 0; `same_engine_most`: the largest ratio, noisy or not

`--folder` names a folder in which `pipeline run --demo` ran; without it, it is run in a temporary one.
`--quick` makes 12 changes of each sort.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx

from benchmarks.form import show
from benchmarks.gate_changes import (
    Change,
    Subject,
    disorder,
    drift_by,
    jitter,
    lose,
    open_model,
    through_jpeg,
    with_noise,
)
from benchmarks.stored import artifacts_of
from pipeline.gate import Terms, judge
from pipeline.ladder import LatencyFigures, Rung
from pipeline.limits import Limits
from pipeline.rungs import beyond_map, class_figures
from stages.artifact import Artifact
from stages.dataset import load_dataset, read_picture, save_dataset
from stages.evaluation.detect import Detections
from stages.stage import no_progress
from stages.verify import Compare, CompareInputs, Evaluated
from stages.verify.evaluate import evaluated
from targets.kit import BoardWork
from targets.latency import noise, time_in_turns
from targets.model import load_model_spec
from targets.preprocess import letterbox

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONF, IOU, MAX_DET = 0.001, 0.7, 300  # of verification
SAMPLE = 400  # pictures
NOW = datetime.now(timezone.utc)
TIMED = LatencyFigures(p50=1.0, p90=1.0, p99=1.0, n=1000, p99_ci=(1.0, 1.0))


# ------------------------------------------------------------------------------------ how it is judged


def judged(subject: Subject, baseline: Detections, candidate: Detections, seed: int) -> str:
    """Give the gate's verdict on a candidate by a sample of the pictures."""
    places = np.random.default_rng(seed).choice(
        len(subject.dataset.val), min(SAMPLE, len(subject.dataset.val)), replace=False
    )
    places.sort()
    val = tuple(subject.dataset.val[place] for place in places)
    dataset = replace(subject.dataset, train=(), calibration=(), val=val)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "index").mkdir()
        save_dataset(dataset, folder / "index")
        sides = [
            evaluated(cut(found, places), dataset, max_det=MAX_DET, out=folder / name)
            for name, found in (("baseline", baseline), ("candidate", candidate))
        ]
        inputs = CompareInputs(
            baseline=sides[0].detections,
            candidate=sides[1].detections,
            index=Artifact.of(folder / "index"),
            model=subject.onnx,
        )
        compared = Compare().run(inputs, folder, no_progress)
    candidate_rung = replace(
        rung_of(sides[1]),
        id="candidate",
        parent="baseline",
        form="build",
        precision="int8",
        candidate=True,
        drift_pt=compared.drift_pt,
        drift_ci_pt=compared.drift_ci_pt,
        step_drift_pt=compared.drift_pt,
        step_drift_ci_pt=compared.drift_ci_pt,
        latency_ms=TIMED,
        measured_at=NOW.isoformat(),
        classes=class_figures(sides[1], compared),
        **beyond_map(compared),
    )
    return judge((rung_of(sides[0]), candidate_rung), Terms(now=NOW, wish="int8")).verdict


def rung_of(form: Evaluated) -> Rung:
    """Give a form as the baseline's rung."""
    return Rung(
        id="baseline", parent=None, form="train", precision="fp32", runtime="onnxruntime", candidate=False,
        map50_95=form.map50_95, map50=form.map50, drift_pt=0.0, step_drift_pt=0.0, drift_ci_pt=(0.0, 0.0),
        step_drift_ci_pt=(0.0, 0.0), latency_ms=None, size_bytes=0, host="", simulated=False, cached=False,
        classes=class_figures(form, None), f1_threshold=form.f1_threshold, pictures=form.pictures,
    )  # fmt: skip


def cut(found: Detections, places: NDArray[np.intp]) -> Detections:
    """Give the detections on some of the pictures."""
    ends = np.cumsum(found.counts)
    rows = [
        found.boxes[end - count : end] for end, count in zip(ends[places], found.counts[places], strict=True)
    ]
    return Detections(counts=found.counts[places], boxes=np.concatenate(rows))


# ------------------------------------------------------------------------------------ the three questions


def harmless(subject: Subject, model: onnx.ModelProto, count: int) -> Iterator[Detections]:
    """Make harmless changes, half of each kind."""
    plain = open_model(model)
    for seed in range(count // 2):
        yield subject.detect(through_jpeg(plain, 95 + seed % 5))
        yield subject.detect(open_model(with_noise(model, 1e-4, seed)))


def drifts(
    subject: Subject, model: onnx.ModelProto, baseline: Detections, count: int
) -> Iterator[Detections]:
    """Make true drifts, a quarter of each kind."""

    def by_weights(seed: int) -> Change:
        return lambda sigma: subject.detect(open_model(with_noise(model, sigma, seed)))

    for seed in range(count // 4):
        yield drift_by(subject, baseline, lambda px, seed=seed: jitter(baseline, px, seed), 8.0)  # type: ignore[misc]
        yield drift_by(subject, baseline, lambda share, seed=seed: lose(baseline, share, seed), 0.5)  # type: ignore[misc]
        yield drift_by(subject, baseline, lambda sigma, seed=seed: disorder(baseline, sigma, seed), 8.0)  # type: ignore[misc]
        yield drift_by(subject, baseline, by_weights(seed), 0.2)


def verdicts(
    subject: Subject, baseline: Detections, changed: Iterator[Detections], *, what: str
) -> tuple[Counter[str], list[float]]:
    """Judge each change on a sample of the pictures."""
    said: Counter[str] = Counter()
    losses = []
    for number, found in enumerate(changed):
        losses.append(subject.loss_pt(baseline, found))
        said[judged(subject, baseline, found, seed=number)] += 1
        print(
            f"gate_rates: {what} {number + 1}: {losses[-1]:.2f} pt, {dict(said)}", file=sys.stderr, flush=True
        )
    return said, losses


def twice(subject: Subject, model: onnx.ModelProto, *, repeats: int, runs: int) -> tuple[list[float], int]:
    """Time the same engine as two candidates; give ratios, and how many of 1.1 and more are not noisy."""
    engines = [open_model(model), open_model(model)]
    some = subject.dataset.val[:16]
    images = [letterbox(read_picture(subject.pictures, one), subject.spec.input)[0] for one in some]
    work = BoardWork(runs=runs, seconds=math.inf, warmup_runs=20, warmup_s=0.3)
    ratios, apart = [], 0
    for _ in range(repeats):
        timings = time_in_turns(engines, images, work, progress=lambda *_: None)
        p50s = [one.latency.p50 for one in timings]
        ratios.append(max(p50s) / min(p50s))
        believed = not any(noise(one.latency.samples, steady=one.steady) for one in timings)
        apart += believed and ratios[-1] >= Limits().int8_min_speedup
    return ratios, apart


def rates(subject: Subject, *, changes: int, repeats: int) -> dict[str, float | None]:
    """Answer all three questions."""
    model = onnx.load(str(subject.onnx / "model.onnx"))
    baseline = subject.detect(open_model(model))
    well, moved = verdicts(subject, baseline, harmless(subject, model, changes), what="harmless")
    badly, lost = verdicts(subject, baseline, drifts(subject, model, baseline, changes), what="drift")
    ratios, apart = twice(subject, model, repeats=repeats, runs=400)
    return {
        "harmless_verdicts": well.total(),
        "harmless_refused": well["refuse"] / well.total(),
        "harmless_open": well["inconclusive"] / well.total(),
        "harmless_most_pt": max(moved),
        "drift_verdicts": badly.total(),
        "drift_passed": badly["pass"] / badly.total(),
        "drift_refused": badly["refuse"] / badly.total(),
        "drift_least_pt": min(lost),
        "same_engine_measurements": repeats,
        "same_engine_apart": apart / repeats,
        "same_engine_most": max(ratios),
    }


def find_subject(folder: Path) -> Subject:
    """Find what the last run of the demo left in a folder."""
    reports = sorted((folder / ".edgebound" / "runs").glob("*/report.json"))
    report = json.loads(reports[-1].read_bytes())
    artifact = artifacts_of(report, folder)
    model = artifact("export", "onnx")
    return Subject(
        onnx=model,
        spec=replace(load_model_spec(model.path), conf=CONF, iou=IOU, max_det=MAX_DET),
        dataset=load_dataset(artifact("data check", "index")),
        pictures=artifact("data render", "data"),
    )


def main() -> None:
    """Run the demo where no folder is named, and print the rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.folder or Path(scratch)
        if asked.folder is None:
            command = [sys.executable, "-m", "pipeline", "run", "--demo", "--until", "export"]
            subprocess.run(command, cwd=folder, check=False)
        amount = {"changes": 12, "repeats": 3} if asked.quick else FULL
        show("gate_rates", [], rates(find_subject(folder), **amount), {})


FULL = {"changes": 100, "repeats": 20}

if __name__ == "__main__":
    main()
