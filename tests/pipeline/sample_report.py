"""A run as it could be, for tests of the report. `python tests/pipeline/sample_report.py DIR` writes it."""

import math
import random
import sys
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from pipeline.gate import Terms, judge, overall
from pipeline.int8 import Placement, Search, SearchTrial
from pipeline.ladder import (
    ClassCount,
    ClassFigures,
    DataSummary,
    Epoch,
    LatencyFigures,
    Rung,
    RunReport,
    Step,
    TargetResult,
)
from pipeline.report import write_report
from stages.quantize import LeftInFloat

AT = "2026-05-04T09:41:07+00:00"
TERMS = Terms(now=datetime(2026, 5, 4, 10, tzinfo=timezone.utc))
CLASSES = {"hole": (0.93, 812), "scratch": (0.81, 655), "stain": (0.69, 204)}


def classes(loss_pt: float) -> tuple[ClassFigures, ...]:
    return tuple(
        ClassFigures(
            name=name,
            ap50=ap50 - loss_pt / 100,
            ap50_95=ap50 * 0.62 - loss_pt / 100,
            ap50_loss_pt=loss_pt,
            ci=(loss_pt - 0.9, loss_pt + 0.9),
            boxes=boxes,
        )
        for name, (ap50, boxes) in CLASSES.items()
    )


def latency(p50: float, seed: int) -> LatencyFigures:
    """Draw 200 runs with the long tail that real ones have."""
    draw = random.Random(seed)
    samples = [p50 * (0.96 + draw.expovariate(18)) for _ in range(200)]
    ranked = sorted(samples)
    return LatencyFigures(p50=ranked[99], p90=ranked[179], p99=ranked[197], n=200, samples=tuple(samples))


def sample_rung(name: str, parent: str | None, loss_pt: float, step_pt: float, **given: object) -> Rung:
    wide = 0.02 if abs(step_pt) < 0.1 else 0.25
    fields: dict[str, object] = {
        "form": "build", "precision": "fp32", "runtime": "openvino", "candidate": False,
        "map50_95": 0.5412 - loss_pt / 100, "map50": 0.8124 - loss_pt / 100, "drift_pt": loss_pt,
        "drift_ci_pt": (loss_pt - 0.3, loss_pt + 0.3) if parent else (0.0, 0.0), "step_drift_pt": step_pt,
        "step_drift_ci_pt": (step_pt - wide, step_pt + wide) if parent else (0.0, 0.0), "latency_ms": None,
        "size_bytes": 12_214_090, "host": "", "simulated": False, "cached": False,
        "classes": classes(loss_pt), "f1_threshold": 0.41 - loss_pt / 60, "pictures": 1000,
    }  # fmt: skip
    return Rung(id=name, parent=parent, **{**fields, **given})


def sample_ladder(**int8: object) -> tuple[Rung, ...]:
    """Give a ladder with two engines, of which INT8 ships; `int8` changes that one."""
    timed = {"candidate": True, "measured_at": AT, "host": "8c3f-epyc7b13"}
    return (
        sample_rung("train-fp32", None, 0.0, 0.0, form="train", runtime="pytorch", cached=True),
        sample_rung("export-fp32", "train-fp32", 0.012, 0.012, form="export", runtime="onnxruntime"),
        sample_rung(
            "quantize-int8", "export-fp32", 0.482, 0.47, form="quantize", precision="int8",
            runtime="onnxruntime", size_bytes=3_402_118,
        ),
        sample_rung("openvino-fp32", "export-fp32", 0.021, 0.009, latency_ms=latency(8.4, 1), **timed),
        sample_rung(
            "openvino-int8", "quantize-int8",
            **{
                "loss_pt": 0.59, "step_pt": 0.11, "precision": "int8", "size_bytes": 3_391_442,
                "latency_ms": latency(3.9, 2), **timed, **int8,
            },
        ),
    )  # fmt: skip


def sample_target(*rungs: Rung, terms: Terms = TERMS) -> TargetResult:
    judged = judge(rungs or sample_ladder(), terms)
    ships = judged.ships
    return TargetResult(
        verdict=judged.verdict,
        reasons=judged.reasons,
        engine=f".edgebound/runs/20260504-093012-7f3a/cpu/{ships.id}" if ships else None,
        precision=ships.precision if ships else None,
        runtime="openvino" if ships else None,
        ladder=judged.ladder,
        ships=ships.id if ships else None,
        profile={"device": "x86-64 CPU", "runtime": "openvino", "runtime_version": "2026.4"},
    )


BLOCKS = ("/model.0/conv/Conv", "/model.21/cv1/conv/Conv", "/model.1/conv/Conv", "/model.2/cv1/conv/Conv")


def sample_search(**changes: object) -> Search:
    """Give a search whose fourth trial was chosen, by measurement."""
    rows = ((0, 1.62, 3.61), (6, 0.18, 4.44), (3, 0.31, 3.97), (2, 0.44, 3.78), (1, 0.97, math.nan))
    names = (*BLOCKS, *(f"/model.22/cv{n}.0/conv/Conv" for n in (2, 3)))
    trials = tuple(
        SearchTrial(
            label=f"trial {place}/15", left_in_float=names[:left], drift_pt=drift,
            drift_ci_pt=(drift - 0.22, drift + 0.24), cost=0.62 + 0.03 * left, p50_ms=p50, chosen=left == 2,
        )
        for place, (left, drift, p50) in enumerate(rows, 1)
    )  # fmt: skip
    fields = {
        "budget_pt": 0.5, "blocks": 52, "trials": trials, "cost_unit": "share of float",
        "cost_model": "multiply-adds, in INT8 1.63 times as fast as in FP32",
    }  # fmt: skip
    return Search(**{**fields, **changes})


def sample_placement() -> Placement:
    reasons = dict.fromkeys(BLOCKS[:2], "left in float by the search")
    reasons |= {
        f"/model.22/cv{n}.{m}.2/Conv": "output convolution of the head" for n in (2, 3) for m in range(3)
    }
    return Placement(
        summary="55 of 64 weighted operators in INT8, 93.1% of all MACs; "
        "74 Q/DQ pairs on activations with 51 scales",
        left_out=tuple(LeftInFloat(node=node, reason=reason) for node, reason in reasons.items()),
    )


def searched_run(**changes: object) -> RunReport:
    """Give a run that searched for a drift budget."""
    return sample_run(
        cpu=replace(sample_target(), search=sample_search(**changes), placement=sample_placement())
    )


def sample_run(**targets: TargetResult) -> RunReport:
    targets = targets or {"cpu": sample_target()}
    verdict, reasons = overall(targets)
    return RunReport(
        run="20260504-093012-7f3a",
        verdict=verdict,
        reasons=reasons,
        error=None,
        run_dir="ci/steel/.edgebound/runs/20260504-093012-7f3a",
        seconds=571.3,
        data="demo",
        targets=targets,
        started_at="2026-05-04T09:30:12+00:00",
        host={"cpu": "AMD EPYC 7B13", "cores": "2", "os": "Linux 6.1.0", "python": "3.11.9"},
        versions={"edgebound": "0.1.0", "ultralytics": "8.4.190", "torch": "2.15.0", "openvino": "2026.4.0"},
        settings={
            "model": {"weights": "yolo11n.yaml", "modules": []},
            "train": {"epochs": 40, "imgsz": 320, "seed": 0},
            "gate": {"onnx_drift_pt": 0.1, "int8_drift_pt": 1.0, "drift_pt": 1.5},
        },
        data_summary=DataSummary(
            train=800,
            val=1000,
            calibration=200,
            classes=tuple(ClassCount(name=name, train=n - 130, val=n) for name, (_, n) in CLASSES.items()),
            warnings=("3 training pictures look alike: train/0113.jpg, train/0482.jpg, train/0490.jpg",),
        ),
        epochs=tuple(
            Epoch(
                epoch=n,
                map50_95=0.5412 * (1 - math.exp(-n / 11)),
                map50=0.8124 * (1 - math.exp(-n / 8)),
                losses={"box": 2.9 * math.exp(-n / 14) + 0.9, "cls": 4.1 * math.exp(-n / 9) + 0.6},
            )
            for n in range(1, 41)
        ),
        steps=(
            Step(stage="data", label="render", key="sha256:5b1f0a77c6de", seconds=9.2, cached=True),
            Step(stage="train", label="", key="sha256:e3120cf1a9be", seconds=412.6, cached=True),
            Step(stage="export", label="", key="sha256:97aa01d1f24c", seconds=4.8, cached=False),
            Step(stage="quantize", label="int8", key="sha256:0d4478ef2250", seconds=38.1, cached=False),
            Step(stage="build", label="openvino int8", key="sha256:b51c6c3a04d9", seconds=2.7, cached=False),
            Step(stage="verify", label="latency", key="sha256:4ef2a9610c11", seconds=21.4, cached=False),
        ),
        notes=("AMP is off: there is no CUDA device.",),
    )  # fmt: skip


def refused_run() -> RunReport:
    """Give a run whose whole-graph INT8 lost nearly everything, and was asked for."""
    lost = {"loss_pt": 53.4, "step_pt": 0.4, "f1_threshold": 0.02}
    train, onnx, quantized, fp32, int8 = sample_ladder(**lost)
    quantized = replace(
        quantized,
        drift_pt=53.0,
        drift_ci_pt=(51.8, 54.1),
        step_drift_pt=53.0,
        step_drift_ci_pt=(51.8, 54.1),
        map50_95=0.011,
    )
    int8 = replace(int8, drift_ci_pt=(52.0, 54.7))
    return sample_run(
        cpu=sample_target(train, onnx, quantized, fp32, int8, terms=replace(TERMS, wish="int8"))
    )


def open_run() -> RunReport:
    """Give a run with too few pictures on one target, and no device for another."""
    few = tuple(
        replace(
            rung, pictures=72,
            drift_ci_pt=(rung.drift_pt - 2.1, rung.drift_pt + 2.2),
            classes=tuple(replace(one, ci=(-6 + one.ap50_loss_pt, 7.5)) for one in rung.classes),
        ) if rung.parent else rung
        for rung in sample_ladder()
    )  # fmt: skip
    orin = replace(
        sample_target(*sample_ladder()[:3]),
        profile={"device": "Jetson Orin Nano 8GB", "runtime": "tensorrt", "runtime_version": "10.3"},
    )
    return sample_run(cpu=sample_target(*few), orin=orin)


if __name__ == "__main__":
    for name, run in (
        ("pass", sample_run()),
        ("refuse", refused_run()),
        ("open", open_run()),
        ("search", searched_run()),
    ):
        write_report(run, Path(sys.argv[1]) / name)
