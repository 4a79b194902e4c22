"""Pruning in a whole run: cut, tuned with the baseline as teacher, exported, quantized, judged."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from whole_runs import SMALL, options, run, start

from benchmarks.stored import artifacts_of
from pipeline.store import Store
from pipeline.upkeep import fsck
from stages.dataset import Dataset, load_dataset
from stages.evaluation.coco import score
from stages.evaluation.detect import Detections

pytestmark = pytest.mark.slow
PRUNED = {**SMALL, "prune.ratio": 0.3, "prune.steps": 100}


def test_a_pruned_model_goes_all_the_way_and_the_cut_is_shown_but_not_judged(project: Path) -> None:
    result = run(project, PRUNED)
    ladder = {rung["id"]: rung for rung in result.ladder}

    assert result.code in {0, 3, 4}, result.said
    assert [rung["form"] for rung in result.ladder] == [
        "train", "cut", "prune", "export", "quantize", "build", "build",
    ]  # fmt: skip
    assert ladder["cut-fp32"]["verdict"] == "pass"
    assert re.search(r"cut pytorch fp32 .* not judged", result.said)
    assert ladder["cut-fp32"]["reasons"] == ["shown, not judged: it is not tuned yet"]
    assert ladder["prune-fp32"]["map50"] > ladder["cut-fp32"]["map50"]
    assert ladder["prune-fp32"]["gmac"] < 0.8 * ladder["train-fp32"]["gmac"]
    assert ladder["openvino-int8"]["gmac"] == ladder["prune-fp32"]["gmac"]
    assert ladder["export-fp32"]["parent"] == "prune-fp32"


def test_the_same_run_again_does_nothing_and_plan_knows_it(project: Path) -> None:
    run(project, PRUNED)

    assert run(project, PRUNED).worked == []


def test_two_goals_are_refused_before_anything_runs(project: Path) -> None:
    result = run(project, {**PRUNED, "prune.target_gmac": 1.0})

    assert result.code == 2
    assert "`prune` needs one goal, and has ratio and target_gmac" in result.said


ALONE = """
import sys
from importlib.util import find_spec
from pathlib import Path
sys.path[:] = [place for place in sys.path if not (Path(place) / "stages").is_dir()]
assert find_spec("stages") is None
from ultralytics import YOLO
pruned, data = sys.argv[1:]
settings = {"imgsz": 96, "rect": False, "plots": False, "workers": 0, "save_json": True}
YOLO(pruned).val(data=data, project=str(Path(data).parent / "out"), **settings)
"""


def test_the_tuned_checkpoint_has_the_ladders_map_in_ultralytics_without_us(
    project: Path, tmp_path: Path
) -> None:
    result = run(project, PRUNED)
    folder = project / result.document["run_dir"]
    shutil.copytree(folder / result.document["pictures"], tmp_path / "data")
    data = tmp_path / "data.yaml"
    data.write_text((tmp_path / "data" / "data.yaml").read_text() + f"path: {tmp_path / 'data'}\n")

    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, str(folder / "pruned.pt"), str(data)],
        cwd=tmp_path,
        env={"YOLO_CONFIG_DIR": str(tmp_path / "settings"), "YOLO_OFFLINE": "true", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    ladder = {rung["id"]: rung for rung in result.ladder}
    dataset = load_dataset(artifacts_of(result.document, project)("data check", "index"))
    (predictions,) = tmp_path.rglob("predictions.json")
    # By COCO's formula: the AP that `val` prints is an area under another curve, up to 0.6 pt apart.
    map50_95 = score(read_predictions(predictions, dataset), dataset, max_det=300).map50_95
    assert map50_95 == pytest.approx(ladder["prune-fp32"]["map50_95"], abs=0.001)


def read_predictions(file: Path, dataset: Dataset) -> Detections:
    """Read what `val` saved: the boxes of a picture, which is called by its file's stem, in pixels."""
    places = {Path(picture.file).stem.lstrip("0") or "0": place for place, picture in enumerate(dataset.val)}
    rows = sorted(
        (
            places[str(one["image_id"]).lstrip("0") or "0"],
            -one["score"],
            *one["bbox"],
            one["category_id"] - 1,
        )
        for one in json.loads(file.read_text())
    )
    table = np.array(rows, np.float64).reshape(-1, 7)
    left, top, width, height = table[:, 2:6].T
    boxes = np.stack([left, top, left + width, top + height, -table[:, 1], table[:, 6]], axis=1)
    counts = np.bincount(table[:, 0].astype(int), minlength=len(dataset.val))
    return Detections(counts=counts.astype(np.int32), boxes=boxes.astype(np.float32))


def test_a_run_killed_between_cut_and_fine_tuning_goes_on_there(project: Path) -> None:
    goal = {**SMALL, "prune.ratio": 0.4, "prune.steps": 10}
    store = Store(project / ".edgebound")
    before = len(store.step_keys())
    killed = start(project, "run", "--demo", "--json", *options(goal))
    while killed.poll() is None and len(store.step_keys()) <= before:  # the cut is the only new step so far
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()

    result = run(project, goal, "--until", "export")

    assert fsck(store) == []
    assert result.worked[0] == "train fine-tune ratio 0.4, 1 of 1"


def test_a_latency_is_reached_by_the_smallest_cut_whose_engine_is_measured_to_be_fast_enough(
    project: Path,
) -> None:
    measured = run(project, {**SMALL, "build.precision": "fp32"}).ladder[-2]["latency_ms"]["p50"]

    result = run(
        project,
        {**SMALL, "build.precision": "fp32", "prune.target_latency_ms": 0.8 * measured, "prune.steps": 5},
    )
    tried = {point["ratio"]: point for point in result.document["frontier"]}
    (chosen,) = (point for point in tried.values() if point["chosen"])

    assert result.code in {0, 3, 4}, result.said
    # Which that is depends on how busy the machine is at the moment; uncut, where it has become faster.
    within = [ratio for ratio, point in tried.items() if point["latency_ms"] <= 0.8 * measured]
    assert 0.0 in tried
    assert chosen["ratio"] == min(within)
    assert chosen["latency_source"] == "measured, openvino fp32 on cpu"


def test_a_latency_on_a_target_that_is_not_here_is_predicted_and_said_so(project: Path) -> None:
    goal = {"prune.target_latency_ms": 1e-4}  # not even the memory traffic fits in there
    result = run(project, {**SMALL, **goal}, "--target", "orin")

    assert result.code == 3, result.said
    assert "prune.target_latency_ms: 0.0001" in result.said
    assert "predicted for int8 on orin by the roofline" in result.said


def test_a_drift_that_no_ratio_keeps_ends_the_run_as_an_int8_budget_does(project: Path) -> None:
    goal = {"prune.ratios": "[0.8]", "prune.max_drift_pt": 0.0, "prune.steps": 1}

    result = run(project, {**SMALL, **goal})

    assert result.code == 3, result.said
    assert result.document["error"]["code"] == 3
    assert "No ratio is within prune.max_drift_pt: 0" in result.said
