"""Pruning in a whole run: cut, tuned with the baseline as teacher, exported, quantized, judged."""

import subprocess
import sys
from pathlib import Path

import pytest
from whole_runs import SMALL, run

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


def test_the_tuned_checkpoint_loads_in_ultralytics_without_us(project: Path, tmp_path: Path) -> None:
    result = run(project, PRUNED)
    (pruned,) = (project / result.document["run_dir"]).glob("pruned.pt")
    lines = (
        "import sys; from ultralytics import YOLO; import numpy as np\n"
        f"model = YOLO({str(pruned)!r})\n"
        "print(len(model.predict(np.zeros((96, 96, 3), np.uint8), imgsz=96, verbose=False)))\n"
        "print(any(name.split('.')[0] in ('pipeline', 'stages', 'targets') for name in sys.modules))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", lines], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert result.code in {0, 3, 4}
    assert done.stdout.split()[-2:] == ["1", "False"], done.stderr
