"""A run as it lies in a project, with real files: engine, detections, data set, pictures. Nothing trains."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import cv2
import numpy as np

from pipeline.baseline import EVIDENCE, val_digest
from pipeline.gate import Terms, judge, overall
from pipeline.ladder import Conditions, Rung, RunReport, TargetResult
from pipeline.store import Store
from stages.artifact import Artifact
from stages.dataset import Dataset, save_dataset
from targets.engine import write_manifest
from targets.model import InputSpec, ModelSpec
from targets.profile import TargetProfile
from tests.pipeline.sample_report import sample_ladder, sample_run
from tests.stages.evaluation.scenes import NAMES, dataset, detections, picture

RUN = "20260504-093012-7f3a"
PROFILE = TargetProfile(name="cpu", device="x86-64 CPU", runtime="openvino")
SPEC = ModelSpec(family="yolo11n", class_names=NAMES, input=InputSpec(96, 96))
SEEN = [
    [(2, 2, 12, 12, 0.9, 0)],
    [],
    [(1, 1, 8, 8, 0.8, 1), (9, 9, 15, 15, 0.7, 0)],
    [(1, 1, 8, 8, 0.27, 1)],  # near the deployed confidence
    [(1, 1, 8, 8, 0.8, 1), (1, 1, 8, 9, 0.6, 0)],  # two classes for one box
    [(2, 2, 12, 12, 0.9, 0), (3, 3, 9, 9, 0.01, 1)],
]


def write_pictures(root: Path) -> Dataset:
    """Write the pictures that were seen, and give the data set, with a picture for training too."""
    (root / "pictures").mkdir(parents=True)
    rows = []
    for place, found in enumerate(SEEN):
        path = root / "pictures" / f"val {place}.png"
        cv2.imwrite(str(path), np.full((16, 16, 3), 20 * place, np.uint8))
        boxes = [(int(box[5]), *box[:4]) for box in found[:1]]
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        rows.append(replace(picture(boxes, file=path.name), sha256=digest))
    secret = picture([(0, 1, 1, 4, 4)], file="a-training-picture.png")
    return replace(dataset(rows), train=(secret,), calibration=(secret,))


def write_engine(folder: Path, precision: str = "int8", profile: TargetProfile = PROFILE) -> Path:
    folder.mkdir(parents=True)
    SPEC.save(folder)
    (folder / "model.bin").write_bytes(f"weights in {precision}".encode())
    write_manifest(folder, profile=profile, precision=precision, runtime_version="2026.4.1")  # type: ignore[arg-type]
    return folder


def ladder(measured_at: datetime, *, simulated: bool = False, **int8: object) -> tuple[Rung, ...]:
    """Give a ladder that was just measured, of the classes that the data set has."""
    return tuple(
        replace(
            one,
            measured_at=measured_at.isoformat() if one.candidate else None,
            simulated=simulated and one.candidate,
            classes=tuple(replace(each, name=name) for each, name in zip(one.classes, NAMES, strict=False)),
        )
        for one in sample_ladder(**int8)
    )


def stored_run(
    root: Path,
    *,
    int8: dict[str, object] | None = None,
    age: timedelta = timedelta(0),
    simulated: bool = False,
    wish: str = "auto",
    change: Callable[[RunReport], RunReport] = lambda report: report,
) -> Path:
    """Write a run whose INT8 engine ships, unless what is changed forbids it; give its folder."""
    now = datetime.now(timezone.utc)
    folder = root / ".edgebound" / "runs" / RUN
    data = write_pictures(root)
    (folder / EVIDENCE / "index").mkdir(parents=True)
    save_dataset(data, folder / EVIDENCE / "index")
    seen, engine = folder / EVIDENCE / "cpu", folder / "cpu"
    seen.mkdir()
    detections(*SEEN).save(seen)
    write_engine(engine)
    rungs = tuple(
        replace(one, digest=Artifact.of(engine).digest, detections=Artifact.of(seen).digest)
        if one.id == "openvino-int8"
        else one
        for one in ladder(now - age, simulated=simulated, **(int8 or {}))
    )
    target = _target(rungs, Terms(now=now - age, wish=wish))  # type: ignore[arg-type]
    if target.ships is None:
        _into_the_store(root, engine, seen)
    report = _report(target, data, wish)
    (folder / "report.json").write_text(change(report).to_json())
    return folder


def _target(rungs: tuple[Rung, ...], terms: Terms) -> TargetResult:
    judged = judge(rungs, terms)
    return TargetResult(
        verdict=judged.verdict,
        reasons=judged.reasons,
        engine=None,
        precision=judged.ships.precision if judged.ships else None,
        runtime="openvino" if judged.ships else None,
        ladder=judged.ladder,
        ships=judged.ships.id if judged.ships else None,
        profile={"name": "cpu", "device": "x86-64 CPU", "budgets": {}},
    )


def _report(target: TargetResult, data: Dataset, wish: str) -> RunReport:
    verdict, reasons = overall({"cpu": target})
    return replace(
        sample_run(cpu=target),
        run=RUN,
        verdict=verdict,
        reasons=reasons,
        data=f"sha256:{'d1' * 32}",
        pictures="../../../pictures",
        run_dir="/home/somebody/secret-project",
        conditions=Conditions(val=val_digest(data), imgsz=(96, 96), conf=0.25, iou=0.7, max_det=300),
        host={"cpu": "AMD EPYC", "os": "Linux 6.1.0 x86_64"},
        settings={
            "model": {"weights": "yolo11n.pt"},
            "train": {"tracking": {"mlflow": "https://me:hunter22@mlflow.example/x"}},
            "gate": {},
            "build": {"precision": wish},
            "demo": None,
        },
    )


def _into_the_store(root: Path, engine: Path, seen: Path) -> None:
    """Move what nothing shipped to where a run that was refused has it: in the store alone."""
    store = Store(root / ".edgebound")
    store.prepare()
    for number, folder in enumerate((engine, seen), 1):
        digest = Artifact.of(folder).digest
        record = {"stage": "build", "result": {"made": {"path": "made", "digest": digest}}}
        store.commit(str(number) * 64, record, {"made": folder})
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
