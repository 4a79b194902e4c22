"""Compression: pruning with the baseline as teacher against a small model from scratch, and what ships.

```
python -m benchmarks.compression [--quick] [--work FOLDER] [--only accuracy|speed]
    [--seeds N] [--steps N] [--tuning N] [--set prune.lr_factor=1 ...]
```
The demo with 2,000 validation pictures, YOLOv8n at 128 px, three seeds. The small model has the GMAC of
the pruned one, and is trained for as many optimizer steps as the baseline and its fine-tuning have together.
Keys and what is wanted of them:
- `gmac_ratio`: of the pruned model to the baseline, about 0.5
- `pruned_drift_pt`: loss of mAP50-95 in PyTorch, mean over seeds, at most 1
- `vs_small_from_scratch_pt`: that minus the small model's loss, mean over seeds, below 0
- `engine_speedup`: p50 of the baseline's FP32 OpenVINO engine over that of the pruned INT8 one, in turns, at
  the size it was trained at; wanted 2.5
- `engine_speedup_320`: the same at 320 px, where arithmetic outweighs what each call costs; wanted 2.5
- `ratio_for_3x`: the smallest ratio of channels, at 320 px, with which it is 3
- `total_drift_pt`: loss of the pruned INT8 engine, mean over seeds, at most 1.5

Without `--work` models are trained anew (hours on 2 cores). `--quick` trains one seed for 32 steps.
`--steps` of the baseline and `--tuning` of the pruned model change the comparison for both sides: the small
model always has their sum. Speed hangs on widths: the engines that are timed are cut from the first baseline
and hardly tuned. With `--only speed` that baseline has 32 steps, so that it takes minutes; what matters least
in it is not what matters least in one that is trained, so widths and speed may differ a little.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.compression_models import Bench, Plan
from benchmarks.form import show
from pipeline.profiles import find_profile
from stages.artifact import Artifact
from stages.stage import no_progress
from stages.verify import Measure, MeasureInputs

LARGE_PX = 320
KEYS = (
    "gmac_ratio",
    "pruned_drift_pt",
    "vs_small_from_scratch_pt",
    "engine_speedup",
    "engine_speedup_320",
    "ratio_for_3x",
    "total_drift_pt",
)
_QUICK = Plan(seeds=(0,), steps=32, tuning=32, train=256, val=64, ratios=(0.3,))


def main(arguments: Sequence[str]) -> None:
    """Train, measure, and print the result."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="edgebound-compression-") as name:
        folder, plan = (options.work or Path(name)).resolve(), _plan(options)
        bench = Bench(folder, plan)
        timed = Bench(folder / "speed", _hasty(plan)) if options.only == "speed" else bench
        rows = [_seed(bench, seed) for seed in plan.seeds] if options.only != "speed" else []
        speeds = [_speed(timed, imgsz) for imgsz in (0, LARGE_PX)] if options.only != "accuracy" else []
    found = {**_accuracy(rows), **_speeds(speeds, plan)}
    reasons = {"ratio_for_3x": "none of the ratios tried reaches 3"} if speeds else {}
    missing = {key: reasons.get(key, f"--only {options.only}") for key in KEYS if found.get(key) is None}
    show("compression", [*rows, *speeds], {key: found.get(key) for key in KEYS}, missing)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.compression")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--work", type=Path, help="keeps what was trained, for another time")
    parser.add_argument("--only", choices=("accuracy", "speed"), default="")
    parser.add_argument("--seeds", type=int, help="how many; the first is 0")
    parser.add_argument("--steps", type=int, help="of the baseline")
    parser.add_argument("--tuning", type=int, help="steps of fine-tuning")
    parser.add_argument("--set", action="append", default=[], help="another setting of the pruned model")
    return parser


def _plan(options: argparse.Namespace) -> Plan:
    plan = replace(_QUICK if options.quick else Plan(), recipe=tuple(options.set))
    return replace(
        plan,
        seeds=tuple(range(options.seeds)) if options.seeds else plan.seeds,
        steps=options.steps or plan.steps,
        tuning=options.tuning or plan.tuning,
    )


def _hasty(plan: Plan) -> Plan:
    """Give a plan for models that are only timed: speed hangs on widths, not on weights."""
    return replace(plan, steps=32, train=min(plan.train, 256), val=min(plan.val, 64))


def _accuracy(rows: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    if not rows:
        return {}
    return {
        "gmac_ratio": _mean(rows, "gmac") / _mean(rows, "baseline_gmac"),
        "pruned_drift_pt": _mean(rows, "pruned_drift_pt"),
        "vs_small_from_scratch_pt": _mean(rows, "pruned_drift_pt") - _mean(rows, "small_drift_pt"),
        "total_drift_pt": _mean(rows, "int8_drift_pt"),
    }


def _speeds(rows: Sequence[dict[str, Any]], plan: Plan) -> dict[str, float | None]:
    if not rows:
        return {}
    own, large = rows
    return {
        "engine_speedup": own["half"],
        "engine_speedup_320": large["half"],
        "ratio_for_3x": next((ratio for ratio in plan.ratios if large[f"{ratio:g}"] >= 3), None),
    }


def _mean(rows: Sequence[dict[str, Any]], key: str) -> float:
    return mean(float(row[key]) for row in rows)


def _seed(bench: Bench, seed: int) -> dict[str, Any]:
    """Give the accuracy of one seed's models."""
    _say(f"seed {seed}: baseline")
    baseline = bench.gmac(bench.baseline(seed))
    _say(f"seed {seed}: small model from scratch")
    small = bench.small(seed)
    gmac = bench.gmac(small)
    _say(f"seed {seed}: pruned to {gmac:.4f} GMAC and tuned")
    forms = {rung["id"]: rung for rung in bench.pruned(seed, gmac)["targets"]["cpu"]["ladder"]}
    whole, pruned, int8 = forms["train-fp32"], forms["prune-fp32"], forms["openvino-int8"]
    smaller = small["targets"]["cpu"]["ladder"][0]
    return {
        "seed": seed,
        "baseline_gmac": baseline,
        "gmac": pruned["gmac"],
        "small_gmac": gmac,
        "baseline": whole["map50_95"],
        "cut_drift_pt": forms["cut-fp32"]["drift_pt"],
        "pruned_drift_pt": pruned["drift_pt"],
        "pruned_drift_ci_pt": pruned["drift_ci_pt"],
        "small_drift_pt": 100 * (whole["map50_95"] - smaller["map50_95"]),
        "int8_drift_pt": int8["drift_pt"],
        "int8_drift_ci_pt": int8["drift_ci_pt"],
    }


def _speed(bench: Bench, imgsz: int) -> dict[str, Any]:
    """Time FP32 of the baseline against INT8 of itself, of half its GMAC, and of each ratio, in turns."""
    _say(f"engines at {imgsz or 'the trained number of'} px")
    fp32, int8 = bench.engines("", imgsz)
    half = f"prune.target_gmac={bench.half_gmac():.5f}"
    names = ["int8", "half", *(f"{ratio:g}" for ratio in bench.plan.ratios)]
    cuts = [half, *(f"prune.ratio={ratio}" for ratio in bench.plan.ratios)]
    engines = (fp32, int8, *(bench.engines(cut, imgsz)[1] for cut in cuts))
    p50s = _p50s(bench, engines)
    return {
        "engines_px": imgsz or "trained",
        "fp32_ms": p50s[0],
        **{name: p50s[0] / p50 for name, p50 in zip(names, p50s[1:], strict=True)},
    }


def _p50s(bench: Bench, engines: tuple[Artifact, ...]) -> list[float]:
    index, pictures = bench.data()
    inputs = MeasureInputs(
        engines=engines, index=index, pictures=pictures, profile=find_profile("cpu"), host=""
    )
    with tempfile.TemporaryDirectory() as out:
        measured = replace(Measure(), runs=300).run(inputs, Path(out), no_progress)
    return [one.p50 for one in measured.latencies]


def _say(text: str) -> None:
    print(f"compression: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
