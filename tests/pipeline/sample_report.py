"""A run as it could be, for tests of the report. `python tests/pipeline/sample_report.py DIR` writes it."""

import hashlib
import math
import random
import sys
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import cv2
import numpy as np

from pipeline.board import Board, DriveFigures, EngineFigures
from pipeline.frontier import Point
from pipeline.gate import Terms, judge, overall
from pipeline.int8 import Placement, Search, SearchTrial
from pipeline.ladder import (
    ClassCount,
    ClassFigures,
    DataSummary,
    Epoch,
    Failure,
    LatencyFigures,
    PointParity,
    Rung,
    RunReport,
    Step,
    TargetResult,
)
from pipeline.report import write_report
from pipeline.training import Training
from stages.evaluation.scores import (
    AtThreshold,
    ChangedBox,
    Changes,
    Curves,
    Deployed,
    Loss,
    PictureChange,
    SizeLoss,
    ThresholdShift,
    TrueScores,
)
from stages.quantize import LeftInFloat
from stages.train.figures import Feeding, LoaderTrial, LoadingParts, PeakMemory, PrecisionProbe, Tuning

AT = "2026-05-04T09:41:07+00:00"
TERMS = Terms(now=datetime(2026, 5, 4, 10, tzinfo=timezone.utc))
NASTY = '<script>alert(1)</script> | `x` *b* "q" @everyone \x00\x1b[31m \udcff'
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


def latency(p50: float, seed: int, *, end_to_end: bool = True) -> LatencyFigures:
    """Draw 200 runs with the long tail that real ones have."""
    draw = random.Random(seed)
    samples = [p50 * (0.96 + draw.expovariate(18)) for _ in range(200)]
    ranked = sorted(samples)
    return LatencyFigures(
        p50=ranked[99], p90=ranked[179], p99=ranked[197], n=200, samples=tuple(samples),
        p50_ci=(ranked[86], ranked[114]), p90_ci=(ranked[172], ranked[188]), p99_ci=(ranked[194], math.nan),
        cov=0.054, img_s=1000 / ranked[99],
        end_to_end=latency(p50 + 2.2, seed + 7, end_to_end=False) if end_to_end else None,
    )  # fmt: skip


def curves(loss_pt: float) -> Curves:
    """Give curves that fall a little earlier the more is lost."""
    edge, top = 0.86 - loss_pt / 100, 0.41 - loss_pt / 60
    weights = [math.exp(-(((n + 0.5) / 20 - 0.8 + loss_pt / 20) ** 2) / 0.02) for n in range(20)]
    return Curves(
        precision=tuple(0.99 / (1 + math.exp((n / 100 - edge) * 18)) for n in range(101)),
        f1=tuple(max(0.0, edge - 1.6 * (n / 100 - top) ** 2) for n in range(101)),
        scores=tuple(weight / sum(weights) for weight in weights),
    )


def loss(loss_pt: float) -> Loss:
    return Loss(loss_pt=loss_pt, interval_pt=(loss_pt - 0.8, loss_pt + 0.9), spread_pt=0.4)


def beyond_map(loss_pt: float) -> dict[str, object]:
    """Give what is measured of a form against the baseline beside mAP."""
    sizes = {"small": (0.213, 402), "medium": (0.566, 841), "large": (0.702, 428)}
    share = loss_pt / 100
    return {
        "sizes": tuple(
            SizeLoss(name=name, boxes=boxes, baseline=ap, candidate=ap - share, loss=loss(loss_pt))
            for name, (ap, boxes) in sizes.items()
        ),
        "threshold": ThresholdShift(
            baseline=0.41, candidate=0.41 - loss_pt / 60, shift=-loss_pt / 60, interval=(-0.04, 0.02)
        ),
        "deployed": Deployed(
            conf=0.25,
            baseline=AtThreshold(detections=1702, precision=0.871, recall=0.834),
            candidate=AtThreshold(detections=1690, precision=0.871 - share, recall=0.834 - share),
            precision_loss=loss(loss_pt),
            recall_loss=loss(loss_pt),
        ),
        "true_scores": TrueScores(baseline=0.81, candidate=0.81 - share, distance=share + 0.004),
        "changes": sample_changes(loss_pt),
        "parity": tuple(
            PointParity(point=f"/model.22/cv{n}.{m}/Conv", cosine=0.9991, max_abs=0.31, sqnr_db=31.4)
            for n in (2, 3)
            for m in range(3)
        ),
    }


def sample_changes(loss_pt: float = 0.0, files: tuple[tuple[str, str], ...] = ()) -> Changes:
    """Give changes on five pictures of 640 x 480; of `files`, path and SHA-256, as many as there are."""
    files = (*files, *((f"val/{n:04}.jpg", "0" * 64) for n in range(len(files), 5)))
    rows = (
        ("baseline", "kept", 0, 0.91, (60.0, 70.0, 180.0, 160.0)),
        ("baseline", "kept", 1, 0.77, (300.0, 200.0, 420.0, 330.0)),
        ("baseline", "lost", 2, 0.44, (480.0, 20.0, 590.0, 120.0)),
        ("candidate", "kept", 0, 0.88, (60.0, 70.0, 180.0, 160.0)),
        ("candidate", "kept", 1, 0.74, (300.0, 200.0, 420.0, 330.0)),
        ("candidate", "gained", 0, 0.31, (10.0, 380.0, 90.0, 470.0)),
    )
    boxes = tuple(
        ChangedBox(xyxy=xyxy, class_id=kind, score=score, of=of, fate=fate, right=fate != "gained")
        for of, fate, kind, score, xyxy in rows
    )
    worst = tuple(
        PictureChange(
            place=place, file=file, lost=1, gained=1, missed=1, false_alarms=1, sha256=digest, width=640,
            height=480, boxes=boxes,
        )
        for place, (file, digest) in enumerate(files)
    )  # fmt: skip
    return Changes(
        kept=1655, lost=47, gained=35, missed=21, false_alarms=19, score_loss=0.006, pictures=61, worst=worst,
        lost_share=loss(loss_pt),
    )  # fmt: skip


def sample_rung(name: str, parent: str | None, loss_pt: float, step_pt: float, **given: object) -> Rung:
    wide = 0.02 if abs(step_pt) < 0.1 else 0.25
    fields: dict[str, object] = {
        "form": "build", "precision": "fp32", "runtime": "openvino", "candidate": False,
        "map50_95": 0.5412 - loss_pt / 100, "map50": 0.8124 - loss_pt / 100, "drift_pt": loss_pt,
        "drift_ci_pt": (loss_pt - 0.3, loss_pt + 0.3) if parent else (0.0, 0.0), "step_drift_pt": step_pt,
        "step_drift_ci_pt": (step_pt - wide, step_pt + wide) if parent else (0.0, 0.0), "latency_ms": None,
        "size_bytes": 12_214_090, "host": "", "simulated": False, "cached": False,
        "classes": classes(loss_pt), "f1_threshold": 0.41 - loss_pt / 60, "pictures": 1000,
        "curves": curves(loss_pt) if math.isfinite(loss_pt) else None,
        "digest": f"sha256:{'7a' * 32}", "detections": f"sha256:{'3c' * 32}",
    }  # fmt: skip
    if given.get("candidate"):
        fields |= beyond_map(loss_pt)
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


def cut_run() -> RunReport:
    """Give a run whose ladder has a cut that is not tuned yet, and lost half of its mAP."""
    cut = sample_rung("cut-fp32", "train-fp32", 53.4, 53.4, form="cut", runtime="pytorch")
    baseline, *others = sample_ladder()
    return sample_run(cpu=sample_target(baseline, cut, *others))


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


def pictured_run(folder: Path) -> RunReport:
    """Give a run whose changed pictures lie in `folder`, dark to light."""
    files = []
    for place, grey in enumerate((10, 70, 130, 190, 250)):
        pixels = np.full((480, 640, 3), grey, np.uint8)
        cv2.circle(pixels, (530, 70), 40, (40, 90, 200), -1)
        path = folder / f"{place}.jpg"
        cv2.imwrite(str(path), pixels)
        files.append((path.name, hashlib.sha256(path.read_bytes()).hexdigest()))
    changes = sample_changes(0.6, tuple(files))
    ladder = (replace(rung, changes=changes) if rung.candidate else rung for rung in sample_ladder())
    return replace(sample_run(cpu=sample_target(*ladder)), pictures=".")


def sample_training() -> Training:
    """Give a training on a GPU that starved until settings of loading were found."""
    rows = (("fp32", 268.0, 7.9, 0.0), ("tf32", 141.0, 7.9, 0.0002), ("fp16", 96.0, 4.4, 0.0009))
    probe = tuple(
        PrecisionProbe(
            precision=name, step_ms=ms, img_s=16000 / ms, peak_mib=gib * 1024, loss_error=off,
            overflows=0 if name == "fp16" else None,
        )
        for name, ms, gib, off in rows
    )  # fmt: skip
    before = LoaderTrial(workers=8, prefetch=4, cache="", img_s=120.0)
    after = LoaderTrial(workers=16, prefetch=4, cache="resized", img_s=312.0)
    no_room = "it needs 90.0 GiB of main memory, and 30.1 are free"
    trials = (
        before,
        replace(after, cache="", img_s=171.0),
        after,
        replace(after, cache="ram", img_s=None, why_not=no_room),
    )
    return Training(
        device="cuda:0 (NVIDIA L4)",
        precision="fp16",
        batch=16,
        asked_batch=32,
        effective_batch=64,
        memory=PeakMemory(allocated_mib=12010.0, reserved_mib=13100.0, resident_mib=5200.0),
        probe=(*probe, PrecisionProbe(precision="bf16", why_not="memory ran out")),
        feeding=Feeding(
            waiting_s=180.0,
            computing_s=900.0,
            workers=16,
            prefetch=4,
            cache="resized",
            gpu_busy=0.81,
            cause="augment",
            says="Training waited 17% of the time for pictures. Augmentation is most of it.",
            parts=LoadingParts(
                pictures=64, cold=True, read_ms=2.4, decode_ms=1.3, augment_ms=11.2, collate_ms=0.6,
                pin_ms=0.2,
            ),
            tuning=Tuning(before=before, after=after, trials=trials, seconds=31.2),
        ),
    )  # fmt: skip


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
        training=sample_training(),
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


def named_run(name: str, classes: int = 1) -> RunReport:
    """Give a run in which the first class, the target, the data and the notes are called `name`."""
    many = [ClassFigures(name=f"c{n}", ap50=0.5, ap50_95=0.4, boxes=9) for n in range(classes - 1)]
    rungs = [replace(rung, classes=(replace(rung.classes[0], name=name), *many)) for rung in sample_ladder()]
    trial = SearchTrial(
        label=name, left_in_float=(name,), drift_pt=0.1, drift_ci_pt=(0.0, 0.2), cost=0.7, chosen=True
    )
    target = replace(
        sample_target(*rungs),
        search=sample_search(trials=(trial, replace(trial, cost=0.8)), cost_model=name),
        placement=Placement(summary=name, left_out=(LeftInFloat(node=name, reason=name),)),
    )
    return replace(sample_run(**{name: target}), data=name, notes=(name,), run=name)


def failed_run(what: str = "The disk is full.", hint: str = "Free some space.") -> RunReport:
    """Give a run that ended early."""
    error = Failure(what=what, hint=hint, code=1)
    return RunReport(
        run="r", verdict="error", reasons=(what,), error=error, run_dir="", seconds=1.5, data="", targets={}
    )


def unsupported_run() -> RunReport:
    """Give a run with a target that has no kernel for an operator."""
    reasons = ("orin cannot run this model (Mish): node 7: no kernel", "Use ReLU.")
    target = TargetResult(
        verdict="unsupported", reasons=reasons, engine=None, precision=None, runtime=None, ladder=()
    )
    return sample_run(orin=target, cpu=sample_target())


def board_run() -> RunReport:
    """Give a run that pruned and had its engines built and timed on a board, one of them in vain."""
    engine = EngineFigures(
        id="int8", build_s=(61.2, 60.8), tries_p50_ms=(3.9, 4.1), command="trtexec --onnx=model.onnx",
        layers={"INT8": 81, "FP16": 9}, fell_out=("/model.22/dfl/conv/Conv",), reformats=4,
        warnings=("a tactic was skipped",), idle_w=4.9, loaded_w=11.2, energy_mj=24.0, startup_s=1.9,
        drives=(
            DriveFigures(
                mode="device time, CUDA graph", batch=1, img_s=260, p50=3.8, p90=3.9, p99=4.4, cov=0.04,
                n=1000, steady=False,
            ),
        ),
    )  # fmt: skip
    board = Board(
        simulated=True,
        facts={"module": "Jetson Orin Nano 8GB", "power mode": "MAXN"},
        doubts=("the clocks are not locked; run on the board: sudo jetson_clocks",),
        engines=(engine, EngineFigures(id="fp16", failed="no room left on the board")),
    )
    point = Point(
        ratio=0.3, gmac=2.1, gmac_before=3.2, parameters=1_800_000, drift_pt=0.4, drift_ci_pt=(0.1, 0.8)
    )
    frontier = (point, replace(point, ratio=0.5, gmac=1.5, drift_pt=1.4, drift_ci_pt=(1.0, 1.9), chosen=True))
    return replace(sample_run(orin=replace(sample_target(), board=board)), frontier=frontier)


EVERY_RUN = [
    sample_run, refused_run, open_run, failed_run, unsupported_run, searched_run, board_run, cut_run,
]  # fmt: skip


if __name__ == "__main__":
    for name, run in (
        ("pass", sample_run()),
        ("refuse", refused_run()),
        ("open", open_run()),
        ("search", searched_run()),
    ):
        write_report(run, Path(sys.argv[1]) / name)
