"""Our evaluator against `yolo val`: batch 1, the same ONNX file, pictures, settings and threads.

A library for `benchmarks.spine`. Both sides run in one process, turn by turn. Not counted on either side:
loading the model, warming it up, reading the labels. Counted: pictures from disk to detections, and the mAP.

`yolo val` prints an AP with a formula of its own (trapezes under an interpolated curve; COCO's is the mean of
101 precisions), so there are two differences: to what it prints, and to what its detections score by COCO's.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import stages.yolo  # noqa: F401  (first: it sets what Ultralytics reads while it is imported)
from stages.artifact import Artifact
from stages.dataset import Dataset, Picture, load_dataset
from stages.evaluation.coco import coco_precisions, score
from stages.evaluation.detect import Detections, detect
from targets.model import ModelSpec, load_model_spec
from targets.profile import TargetProfile
from targets.runtimes.ort import MODEL_NAME, OrtRuntime

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from targets.runtime import Infer

CONF, IOU, MAX_DET = 0.001, 0.7, 300  # the defaults of `yolo val`
HERE = TargetProfile(name="here", device="this machine", runtime="onnxruntime")


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One pass over all validation pictures.

    Attributes:
        total_ms: Wall time per picture.
        inference_ms: Of it, inside the model, as each side counts it; theirs has the way from and to torch.
        map50_95: As this side says, 0 to 1.
    """

    total_ms: float
    inference_ms: float
    map50_95: float

    @property
    def outside_ms(self) -> float:
        """Wall time per picture that is not inference."""
        return self.total_ms - self.inference_ms


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What both sides work on.

    Attributes:
        onnx: `model.onnx` with `model.json`.
        spec: Of the model, with the thresholds of `yolo val`.
        dataset: The prepared data set.
        pictures: The folder its pictures are in.
        folder: The same validation pictures and boxes, as Ultralytics wants them.
    """

    onnx: Artifact
    spec: ModelSpec
    dataset: Dataset
    pictures: Artifact
    folder: Path


def compare_evaluators(
    onnx: Artifact, index: Artifact, pictures: Artifact, *, turns: int = 5
) -> dict[str, Any]:
    """Measure both sides and give `rows`, `ratios` and `missing` for a benchmark's JSON document.

    Args:
        onnx: `model.onnx` with `model.json`.
        index: The prepared data set.
        pictures: The folder its pictures are in.
        turns: Passes over the validation pictures, each side, after an untimed one.
    """
    with tempfile.TemporaryDirectory(prefix="edgebound-") as folder:
        spec = replace(load_model_spec(onnx.path), conf=CONF, iou=IOU, max_det=MAX_DET)
        setting = Setting(
            onnx=onnx, spec=spec, dataset=load_dataset(index), pictures=pictures, folder=Path(folder)
        )
        write_ultralytics_folder(setting)
        _, theirs_found = run_theirs(setting, save_json=True)
        ours, theirs = [], []
        with OrtRuntime().open(onnx.path, HERE) as infer:
            run_ours(infer, setting)
            for _ in range(turns):
                ours.append(run_ours(infer, setting))
                theirs.append(run_theirs(setting)[0])
    map_by_coco = _mean_precision(theirs_found, setting.dataset)
    return sum_up(ours, theirs, theirs_map_by_coco=map_by_coco)


def run_ours(infer: Infer, setting: Setting) -> Turn:
    """Evaluate as the stage does."""
    inside_s = 0.0

    def timed(images: NDArray[np.float32]) -> NDArray[np.float32]:
        nonlocal inside_s
        start = time.perf_counter()
        output = infer(images)
        inside_s += time.perf_counter() - start
        return output

    start = time.perf_counter()
    found = detect([timed], setting.spec, pictures=setting.dataset.val, root=setting.pictures)
    scores = score(found, setting.dataset, max_det=MAX_DET)
    total_s = time.perf_counter() - start
    per_picture = 1e3 / len(setting.dataset.val)
    return Turn(total_ms=total_s * per_picture, inference_ms=inside_s * per_picture, map50_95=scores.map50_95)


def run_theirs(setting: Setting, *, save_json: bool = False) -> tuple[Turn, Detections]:
    """Evaluate with Ultralytics' validator, without its plots.

    Returns:
        The turn, and with `save_json` (which takes time) its detections.
    """
    from ultralytics.models.yolo.detect import DetectionValidator

    validator = DetectionValidator(
        save_dir=setting.folder / "val",
        args={
            "model": str(setting.onnx / MODEL_NAME),
            "data": str(setting.folder / "data.yaml"),
            "imgsz": max(setting.spec.input.height, setting.spec.input.width),
            "task": "detect", "batch": 1, "rect": False, "device": "cpu", "workers": 0,
            "conf": CONF, "iou": IOU, "max_det": MAX_DET, "plots": False, "save_json": save_json,
        },
    )  # fmt: skip
    marks: list[float] = []
    for event in ("on_val_start", "on_val_end"):
        validator.add_callback(event, lambda _: marks.append(time.perf_counter()))
    validator(model=str(setting.onnx / MODEL_NAME))
    turn = Turn(
        total_ms=1e3 * (marks[1] - marks[0]) / len(setting.dataset.val),
        inference_ms=validator.speed["inference"],
        map50_95=float(validator.metrics.box.map),
    )
    return turn, _read_json(validator.jdict, len(setting.dataset.val))


def sum_up(ours: Sequence[Turn], theirs: Sequence[Turn], *, theirs_map_by_coco: float) -> dict[str, Any]:
    """Give the medians, their ratios, and how far the mAP values are apart."""
    rows = [
        {
            "side": side,
            "turns": len(turns),
            "total_ms": statistics.median(turn.total_ms for turn in turns),
            "inference_ms": statistics.median(turn.inference_ms for turn in turns),
            "outside_ms": statistics.median(turn.outside_ms for turn in turns),
            "map50_95": turns[0].map50_95,
        }
        for side, turns in (("edgebound", ours), ("yolo val", theirs))
    ]
    printed_pt = 100 * abs(ours[0].map50_95 - theirs[0].map50_95)
    by_coco_pt = 100 * abs(ours[0].map50_95 - theirs_map_by_coco)
    rows[1]["map50_95_by_coco"] = theirs_map_by_coco
    return {
        "rows": rows,
        "ratios": {
            "evaluator_outside_inference": _ratio(rows, "outside_ms"),
            "evaluator_total": _ratio(rows, "total_ms"),
            "evaluator_map_difference_pt": printed_pt,
            "evaluator_map_difference_by_coco_pt": by_coco_pt,
        },
        "missing": {},
    }


def write_ultralytics_folder(setting: Setting) -> None:
    """Write `data.yaml`, links to the validation pictures, and their boxes."""
    import yaml

    for number, picture in enumerate(setting.dataset.val):
        name = Path("val") / f"{number:06d}"
        image = (setting.folder / "images" / name).with_suffix(Path(picture.file).suffix)
        label = (setting.folder / "labels" / name).with_suffix(".txt")
        for path in (image, label):
            path.parent.mkdir(parents=True, exist_ok=True)
        image.symlink_to((setting.pictures / picture.file).resolve())
        label.write_text(_label_lines(picture), encoding="utf-8")
    description = {
        "path": str(setting.folder),
        "train": "images/val",
        "val": "images/val",
        "names": dict(enumerate(setting.dataset.class_names)),
    }
    (setting.folder / "data.yaml").write_text(yaml.safe_dump(description), encoding="utf-8")


def _label_lines(picture: Picture) -> str:
    return "".join(
        f"{int(row[0])} {row[1]!r} {row[2]!r} {row[3]!r} {row[4]!r}\n" for row in picture.boxes.tolist()
    )


def _read_json(rows: Sequence[dict[str, Any]], pictures: int) -> Detections:
    """Turn Ultralytics' predictions (pictures are named by number) into detections."""
    table = np.array(
        [(row["image_id"], *row["bbox"], row["score"], row["category_id"] - 1) for row in rows], np.float64
    ).reshape(-1, 7)
    table = table[np.lexsort([-table[:, 5], table[:, 0]])]
    boxes = table[:, 1:].astype(np.float32)
    boxes[:, 2:4] += boxes[:, :2]
    return Detections(
        counts=np.bincount(table[:, 0].astype(int), minlength=pictures).astype(np.int32), boxes=boxes
    )


def _mean_precision(found: Detections, dataset: Dataset) -> float:
    precisions = coco_precisions(found, dataset, max_det=MAX_DET)
    return float(precisions[precisions[:, 0] >= 0].mean())


def _ratio(rows: Sequence[dict[str, Any]], key: str) -> float:
    return float(rows[0][key] / rows[1][key])
