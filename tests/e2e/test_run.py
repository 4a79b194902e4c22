"""What a run promises: a ladder, a verdict, an exit code, and no work done twice."""

import json
import shutil
from pathlib import Path

import pytest
from whole_runs import SMALL, TINY, options, outcome, run, start

from pipeline.store import Store
from targets.engine import open_engine

pytestmark = pytest.mark.slow


def test_the_demo_passes_with_a_whole_ladder(project: Path) -> None:
    result = run(project, SMALL)
    forms = [(rung["form"], rung["runtime"], rung["precision"], rung["candidate"]) for rung in result.ladder]

    assert result.code == 0
    assert result.document["verdict"] == "pass"
    assert result.document["data"] == "demo"
    assert forms == [
        ("train", "pytorch", "fp32", False),
        ("export", "onnxruntime", "fp32", False),
        ("quantize", "onnxruntime", "int8", False),
        ("build", "openvino", "fp32", True),
        ("build", "openvino", "int8", True),
    ]
    assert result.ladder[0]["map50"] > 0.3


def test_a_second_run_does_no_work(project: Path) -> None:
    result = run(project, SMALL)

    assert result.worked == []
    assert all(rung["cached"] for rung in result.ladder)


@pytest.mark.parametrize(
    ("settings", "worked"),
    [
        pytest.param({"gate.int8_drift_pt": 2.0}, [], id="a limit of the gate"),
        pytest.param({"verify.runs": 41}, ["verify latency"], id="the timed runs"),
    ],
)
def test_a_change_runs_what_depends_on_it_and_nothing_else(
    project: Path, settings: dict[str, object], worked: list[str]
) -> None:
    assert run(project, {**SMALL, **settings}).worked == worked


def test_a_change_of_calibration_quantizes_again_but_does_not_train(project: Path) -> None:
    worked = run(project, {**SMALL, "quantize.calibration": 8}).worked

    assert "quantize int8" in worked
    assert "build openvino int8" in worked
    assert not {"train", "export", "build openvino fp32", "verify pytorch fp32"} & set(worked)


def test_a_drift_budget_is_searched_for_and_shown(project: Path) -> None:
    result = run(project, {**SMALL, "quantize.drift_budget_pt": 1.0})
    search = result.document["targets"]["cpu"]["search"]

    assert result.code == 0
    assert search["budget_pt"] == 1.0
    assert [one["drift_pt"] <= 1.0 for one in search["trials"] if one["chosen"]] == [True]
    assert "weighted operators in INT8" in result.document["targets"]["cpu"]["placement"]["summary"]


def test_a_budget_that_cannot_be_met_is_refused_and_says_how_close_it_came(project: Path) -> None:
    whole_graph = {"quantize.exclude": "[]", "quantize.drift_budget_pt": 0.5}

    result = run(project, {**SMALL, **whole_graph})

    assert result.code == 3
    assert result.document["verdict"] == "refuse"
    assert "No INT8 form is within quantize.drift_budget_pt: 0.5. The nearest of" in result.reasons


def test_whole_graph_int8_is_refused_with_the_reason(project: Path) -> None:
    result = run(project, {**SMALL, "quantize.exclude": "[]", "build.precision": "int8"})

    assert result.code == 3
    assert result.document["verdict"] == "refuse"
    assert result.ladder[2]["map50_95"] == pytest.approx(0.0, abs=1e-3)
    assert "int8" in result.reasons
    assert "limit 1.0" in result.reasons


def test_under_auto_the_same_run_ships_fp32_and_says_why(project: Path) -> None:
    result = run(project, {**SMALL, "quantize.exclude": "[]"})

    assert result.code == 0
    assert result.document["targets"]["cpu"]["precision"] == "fp32"
    assert "int8" in result.reasons


def test_the_engine_that_ships_is_whole(project: Path) -> None:
    result = run(project, SMALL)
    target = result.document["targets"]["cpu"]
    engine = project / target["engine"]

    assert open_engine(engine).precision == target["precision"]
    assert json.loads((engine / "model.json").read_text())["class_names"] == ["hole", "scratch", "stain"]


def test_the_report_files_are_there(project: Path) -> None:
    result = run(project, SMALL)
    folder = project / result.document["run_dir"]

    for name in ("report.json", "report.html", "junit.xml", "summary.md"):
        assert (folder / name).stat().st_size > 100
    document = json.loads((folder / "report.json").read_text())
    assert document["verdict"] == "pass"
    assert (folder / document["pictures"]).is_dir()


def test_orin_does_the_work_of_the_host_and_says_what_is_missing(project: Path) -> None:
    result = run(project, SMALL, "--target", "orin")
    kit = project / result.document["run_dir"] / "orin" / "kit"

    assert result.code == 4
    assert "no engine for NVIDIA Jetson AGX Orin 64GB: tensorrt 10.3" in result.reasons
    assert sorted(path.name for path in kit.iterdir()) == [
        "agent.pyz", "kit.json", "models", "pictures", "seal.json",
    ]  # fmt: skip
    assert sorted(path.name for path in (kit / "models").iterdir()) == ["fp16", "fp32", "int8"]
    assert "python3 agent.pyz run" in result.reasons


def test_a_target_that_cannot_run_the_model_says_so_before_anybody_trains(tmp_path: Path) -> None:
    result = run(tmp_path, {**TINY, "export.opset": 18}, "--target", "orin@5.1")

    assert result.code == 5
    assert "opset 18" in result.reasons
    assert "check orin untrained" in result.worked
    assert not {"train", "export"} & set(result.worked)


def test_of_two_targets_the_one_that_can_run_the_model_gets_it_trained(tmp_path: Path) -> None:
    settings = {**TINY, "export.opset": 18}

    result = run(tmp_path, settings, "--target", "orin@5.1", "--target", "cpu")

    assert result.code == 5
    assert result.document["targets"]["orin@5.1"]["verdict"] == "unsupported"
    assert result.ladder[0]["form"] == "train"


def test_onnx_runtime_is_a_target_of_its_own(project: Path) -> None:
    result = run(project, SMALL, "--target", "cpu-ort")
    target = result.document["targets"]["cpu-ort"]

    assert result.code == 0
    assert target["runtime"] == "onnxruntime"
    assert [rung["runtime"] for rung in target["ladder"] if rung["candidate"]] == ["onnxruntime"] * 2


def test_of_two_targets_the_worse_counts(project: Path) -> None:
    result = run(project, SMALL, "--target", "orin", "--target", "cpu")

    assert result.code == 4
    assert result.document["targets"]["cpu"]["verdict"] == "pass"


def test_until_stops_and_is_no_verdict(project: Path) -> None:
    result = run(project, SMALL, "--until", "build")

    assert result.code == 4
    assert "Stopped after 'build'" in result.reasons
    assert {step["stage"] for step in result.document["steps"]} == {
        "data", "train", "export", "check", "quantize", "build",
    }  # fmt: skip


def test_weights_of_a_run_go_on_as_they_are_with_no_epochs(project: Path, tmp_path: Path) -> None:
    keys = {step["label"]: step["key"] for step in run(project, SMALL).document["steps"]}
    store = Store(project / ".edgebound")
    entry = store.find(keys["train"])
    trained = entry.record["result"]["checkpoint"]
    shutil.copy(store.open(entry, trained["path"], trained["digest"]) / "best.pt", tmp_path / "mine.pt")
    settings = {**SMALL, "train.epochs": 0, "model.weights": tmp_path / "mine.pt"}

    result = run(project, settings)

    assert result.code == 0
    assert result.ladder[0]["map50"] == pytest.approx(run(project, SMALL).ladder[0]["map50"], abs=0.01)


def test_plan_says_what_is_cached_and_what_would_run(project: Path) -> None:
    settings = {**SMALL, "quantize.calibration": 9}

    done = start(project, "plan", "--demo", "--json", *options(settings))
    out, _ = done.communicate()
    states = {step["title"]: step["state"] for step in json.loads(out.splitlines()[-1])}

    assert states["train"] == "cached"
    assert states["quantize int8"] == "runs"
    assert states["verify openvino fp32"] == "cached"
    assert states["verify openvino int8"] == "runs"


def test_two_runs_at_once_share_the_work(tmp_path: Path) -> None:
    first, second = (start(tmp_path, "run", "--demo", "--json", *options(TINY)) for _ in range(2))
    results = [outcome(first), outcome(second)]

    assert [result.code for result in results] == [4, 4]
    assert sum(result.worked.count("train") for result in results) == 1
    assert "waiting for process" in results[0].said + results[1].said
