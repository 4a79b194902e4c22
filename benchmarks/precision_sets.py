"""The sets of `benchmarks.precision`: what is trained on what, and what our command line makes of it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.evaluator import CONF, IOU, MAX_DET
from benchmarks.stored import ROOT, artifacts_of, run_pipeline
from stages.artifact import Artifact
from stages.dataset import Dataset, Picture, load_dataset
from targets.model import ModelSpec, load_model_spec

TEST_DATA = Path(os.environ.get("EDGEBOUND_TEST_DATA", ROOT.parent / "shared" / "data")).resolve()


@dataclass(frozen=True, kw_only=True)
class Case:
    """A detector and its data set.

    Attributes:
        name: Of its folder, and in the keys of the result.
        arguments: Of `pipeline run`.
        data: Folder of a real data set below the test data; empty for the demo's.
        imgsz: Of a real data set, in pixels.
    """

    name: str
    arguments: tuple[str, ...] = ()
    data: str = ""
    imgsz: int = 0

    @property
    def real(self) -> bool:
        """Its pictures are photographs."""
        return bool(self.data)

    def config(self) -> str:
        """Give the `pipeline.yaml` that fine-tunes the test data's yolov8n."""
        return (
            f"model: {{weights: {TEST_DATA}/weights/yolov8n-from-int8.pt}}\n"
            f"data: {{path: {TEST_DATA}/{self.data}/data.yaml}}\n"
            f"train: {{epochs: 12, imgsz: {self.imgsz}, batch: 16, workers: 0, cache: ram}}\n"
        )


DEMO = ("--demo", "--set", "demo.val=2000")
CASES = (
    Case(name="demo8", arguments=(*DEMO, "--set", "model.weights=yolov8n.yaml")),
    Case(name="demo11", arguments=DEMO),  # yolo11n from scratch is the demo's own
    Case(name="bccd", data="bccd-mini", imgsz=320),
    Case(name="bsdata", data="bsdata", imgsz=192),
)


def _set(case: Case, *settings: str) -> Case:
    """Override settings of a case."""
    return replace(case, arguments=(*case.arguments, *(part for one in settings for part in ("--set", one))))


QUICK_CASES = (
    _set(CASES[0], "demo.train=1200", "demo.val=400", "train.epochs=4"),
    _set(CASES[2], "train.epochs=5"),
)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A trained detector: what all quantizers start from, and what ours makes of it.

    Attributes:
        case: Where it comes from.
        folder: For whatever is made of it.
        checkpoint: With `best.pt`.
        onnx: FP32, with `model.json`.
        fp32: OpenVINO engine.
        int8: Our INT8 OpenVINO engine.
        spec: Of the model, with the thresholds of `yolo val`.
        dataset: The prepared data set.
        pictures: The folder its pictures are in.
    """

    case: Case
    folder: Path
    checkpoint: Artifact
    onnx: Artifact
    fp32: Artifact
    int8: Artifact
    spec: ModelSpec
    dataset: Dataset
    pictures: Artifact

    def unseen(self) -> tuple[Picture, ...]:
        """Give all pictures outside the calibration set."""
        seen = {picture.sha256 for picture in self.dataset.calibration}
        return tuple(one for one in (*self.dataset.train, *self.dataset.val) if one.sha256 not in seen)


def prepare(case: Case, folder: Path) -> Subject:
    """Train, export, quantize and build by the command line, as far as the folder's store has not done it."""
    folder.mkdir(parents=True, exist_ok=True)
    if case.real:
        (folder / "pipeline.yaml").write_text(case.config(), encoding="utf-8")
    report = run_pipeline(folder, "--until", "build", *case.arguments)  # judged here, by other rules
    artifact = artifacts_of(report, folder)
    onnx = artifact("export", "onnx")
    return Subject(
        case=case,
        folder=folder,
        checkpoint=artifact("train", "checkpoint"),
        onnx=onnx,
        fp32=artifact("build openvino fp32", "engine"),
        int8=artifact("build openvino int8", "engine"),
        spec=replace(load_model_spec(onnx.path), conf=CONF, iou=IOU, max_det=MAX_DET),
        dataset=load_dataset(artifact("data check", "index")),
        pictures=Artifact(TEST_DATA / case.data, "") if case.real else artifact("data render", "data"),
    )


def say(text: str) -> None:
    """Tell people how far the benchmark is."""
    print(f"precision: {text}", file=sys.stderr, flush=True)
