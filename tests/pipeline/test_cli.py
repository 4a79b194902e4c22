"""The command line: whatever one gives it, an exit code, two lines for people, JSON for programs."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Outcome, contents, invoke
from onnx import parser
from sample_report import sample_run

from pipeline.config import load_config
from pipeline.profiles import profile_names
from pipeline.report import write_report
from pipeline.store import Store
from pipeline.upkeep import fsck

KNOWN = f"Known: {', '.join(profile_names())}; or give the path of your own profile.yaml."


def run(project: Path, *args: str) -> Outcome:
    return invoke("run", "--root", project, "--json", *args)


def failed(outcome: Outcome, code: int) -> str:
    """See that it failed as it should; give what it said."""
    assert outcome.code == code
    assert outcome.document["verdict"] == "error"
    assert outcome.document["error"]["code"] == code
    assert outcome.document["reasons"] == [outcome.what]
    assert outcome.hint
    assert f"error: {outcome.what}" in outcome.said
    assert f"hint:  {outcome.hint}" in outcome.said
    return outcome.what


def test_as_a_program_it_ends_with_the_same_code_and_lines(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "run", "--json"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )
    outcome = Outcome(done.returncode, done.stdout, done.stderr)

    assert failed(outcome, 2) == f"There is no pipeline.yaml in {tmp_path}."
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


class TestConfiguration:
    """All of these end before anything is done."""

    def wrong(self, project: Path, *args: str) -> str:
        text = failed(run(project, *args), 2).replace(f"{project}/", "")
        assert not (project / ".edgebound").exists()
        return text

    def test_all_problems_are_told_with_lines_and_nearest_keys(self, project: Path) -> None:
        (project / "pipeline.yaml").write_text(
            "modle: {weights: a.pt}\n"
            "model:\n  weights: [a.pt]\n"
            "data: {path: data.yaml}\n"
            "train:\n  epoch: 3\n  imgsz: large\n"
            "build: {precision: int4}\n"
        )

        text = self.wrong(project, "--set", "gate.drift=1")

        assert text.splitlines() == [
            "--set gate.drift=1: unknown key 'gate.drift'; did you mean 'drift_pt'?",
            "pipeline.yaml:1: unknown key 'modle'; did you mean 'model'?",
            "pipeline.yaml:3: model.weights: Input should be a valid string (got ['a.pt'])",
            "pipeline.yaml:6: unknown key 'train.epoch'; did you mean 'epochs'?",
            (
                "pipeline.yaml:7: train.imgsz: Input should be a valid integer, "
                "unable to parse string as an integer (got 'large')"
            ),
            (
                "pipeline.yaml:8: build.precision: Input should be 'auto', "
                "or input should be 'fp32', 'fp16' or 'int8' (got 'int4')"
            ),
        ]

    @pytest.mark.parametrize(
        ("setting", "problem"),
        [
            ("train.epochs=-1", "greater than or equal to 0"),
            ("train.imgsz=100", "multiple of 32"),
            ("train.imgsz=32", "greater than or equal to 64"),
            ("train.batch=0", "greater than or equal to 1, or input should be 'auto' or -1"),
            ("train.lr0=0", "greater than 0"),
            ("train.seed=-1", "greater than or equal to 0"),
            ("train.patience=-1", "greater than or equal to 0"),
            ("train.workers=-1", "greater than or equal to 0"),
            ("train.optimizer=SDG", "'SGD'"),
            ("data.calibration=0", "greater than or equal to 1"),
            ("export.opset=12", "greater than or equal to 13"),
            ("export.opset=21", "less than or equal to 20"),
            ("export.imgsz=100", "multiple of 32"),
            ("quantize.calibration=-1", "greater than or equal to 0"),
            ("quantize.exclude=head", "valid tuple"),
            ("verify.runs=1", "greater than or equal to 20"),
            ("verify.resamples=1", "greater than or equal to 100"),
            ("verify.max_age_h=0", "greater than 0"),
            ("gate.onnx_drift_pt=-0.1", "greater than or equal to 0"),
            ("gate.int8_drift_pt=-1", "greater than or equal to 0"),
            ("gate.drift_pt=.nan", "greater than or equal to 0"),
            ("gate.class_ap50_loss_pt=-5", "greater than or equal to 0"),
            ("gate.f1_threshold_shift=2", "less than or equal to 1"),
            ("gate.int8_min_speedup=0", "greater than 0"),
            ("demo.size_px=8", "greater than or equal to 32"),
            ("model.weights=", "valid string"),
            ("train.weights=mine.pt", "follows model.weights; set that"),
            ("data.imgsz=320", "follows train.imgsz; set that"),
        ],
    )
    def test_a_value_out_of_range_is_refused(self, project: Path, setting: str, problem: str) -> None:
        text = self.wrong(project, "--set", setting)

        assert text.startswith(f"--set {setting}: {setting.partition('=')[0]}")
        assert problem in text

    def test_a_training_setting_that_ultralytics_does_not_have_is_refused(self, project: Path) -> None:
        assert "not a training setting" in self.wrong(project, "--set", "train.overrides.mosiac=0")

    @pytest.mark.parametrize("setting", ["train.epochs", "epochs=3", "train.epochs=[3"])
    def test_a_setting_of_another_form_is_refused(self, project: Path, setting: str) -> None:
        assert self.wrong(project, "--set", setting).startswith(f"--set {setting}")

    def test_an_unknown_target_is_answered_with_the_known_ones(self, project: Path) -> None:
        outcome = run(project, "--target", "cup")

        assert failed(outcome, 2) == "There is no target 'cup'; did you mean 'cpu'?"
        assert outcome.hint == KNOWN

    def test_two_profiles_of_one_name_are_refused(self, project: Path) -> None:
        (project / "mine.yaml").write_text("{name: cpu, device: Mine, runtime: onnxruntime}\n")

        text = self.wrong(project, "--target", "cpu", "--target", str(project / "mine.yaml"))

        assert text == "Two targets are called 'cpu'."

    def test_a_precision_that_no_engine_has_ends_before_the_data_are_read(self, project: Path) -> None:
        outcome = run(project, "--set", "build.precision=fp16")

        assert failed(outcome, 2) == "`build.precision: fp16`, but cpu has fp32, int8."
        assert outcome.document["steps"] == []

    def test_no_configuration_and_no_demo(self, tmp_path: Path) -> None:
        outcome = invoke("run", "--root", tmp_path, "--json")

        assert failed(outcome, 2) == f"There is no pipeline.yaml in {tmp_path}."
        assert "pipeline init" in outcome.hint
        assert "--demo" in outcome.hint

    def test_demo_and_configuration_exclude_each_other(self, project: Path) -> None:
        text = self.wrong(project, "--demo", "--config", str(project / "pipeline.yaml"))

        assert text == "--demo and --config exclude each other."

    @pytest.mark.parametrize("name", ["none.yaml", "steel"])
    def test_a_configuration_that_cannot_be_read(self, project: Path, name: str) -> None:
        assert "cannot be read" in self.wrong(project, "--config", str(project / name))

    @pytest.mark.parametrize("command", ["run", "plan", "report", "doctor", "init"])
    def test_a_root_that_is_not_there_is_refused(self, tmp_path: Path, command: str) -> None:
        data = [tmp_path / "data.yaml"] if command == "init" else []

        outcome = invoke(command, *data, "--root", tmp_path / "none")

        assert outcome.code == 2
        assert "--root" in outcome.said


class TestData:
    """All of these end before an epoch is spent, and leave no step behind."""

    def broken(self, project: Path, code: int) -> str:
        before = contents(project / "steel")
        text = failed(run(project, "--until", "data"), code)
        assert contents(project / "steel") == before
        assert fsck(Store(project / ".edgebound")) == []
        assert Store(project / ".edgebound").step_keys() == []
        assert not list((project / ".edgebound" / "artifacts").iterdir())
        return text.replace(f"{project}/", "")

    def test_a_data_yaml_that_is_not_there(self, project: Path) -> None:
        (project / "steel" / "data.yaml").unlink()

        assert self.broken(project, 2) == "There is no data set steel/data.yaml."

    def test_a_data_yaml_without_names(self, project: Path) -> None:
        (project / "steel" / "data.yaml").write_text("train: images/train\nval: images/val\n")

        assert self.broken(project, 1) == "steel/data.yaml: data YAML without `names`."

    def test_a_data_yaml_that_is_no_yaml(self, project: Path) -> None:
        (project / "steel" / "data.yaml").write_text("train: images/train\nval: [\n")

        assert self.broken(project, 1).startswith("steel/data.yaml:3: not YAML: ")

    def test_settings_of_coco_for_a_data_yaml(self, project: Path) -> None:
        text = failed(run(project, "--until", "data", "--set", "data.images=steel"), 2)

        assert "`data.val` and `data.images` belong to a COCO JSON" in text

    @pytest.mark.parametrize(
        ("line", "problem"),
        [
            ("0 0.5 half 0.1 0.1", "'half' is not a number"),
            ("0 0.5 nan 0.1 0.1", "'nan' is not a finite number"),
            ("3 0.5 0.5 0.1 0.1", "class 3 is out of range; there are 3 classes, 0 to 2"),
            ("0 0.99 0.5 0.1 0.1", "box outside the picture, x from 0.94 to 1.04"),
            ("0 0.5 0.5 0.1", "4 columns"),
        ],
    )
    def test_a_broken_label_is_told_with_file_and_line(self, project: Path, line: str, problem: str) -> None:
        label = min((project / "steel" / "labels" / "val").iterdir())
        label.write_text(f"0 0.5 0.5 0.1 0.1\n{line}\n")

        text = self.broken(project, 1)

        assert text.startswith(f"steel/labels/val/{label.name}:2: {problem}")

    def test_a_truncated_jpeg(self, project: Path) -> None:
        picture = min((project / "steel" / "images" / "train").glob("*.jpg"))
        picture.write_bytes(picture.read_bytes()[:-200])

        assert self.broken(project, 1) == f"steel/images/train/{picture.name}: truncated JPEG"

    def test_no_validation_pictures(self, project: Path) -> None:
        for picture in (project / "steel" / "images" / "val").iterdir():
            picture.unlink()

        assert "there are no validation pictures" in self.broken(project, 1)

    def test_a_good_data_set_stops_without_a_verdict_and_with_its_counts(self, project: Path) -> None:
        before = contents(project / "steel")

        outcome = run(project, "--until", "data")

        assert outcome.code == 4
        assert outcome.document["verdict"] == "inconclusive"
        assert outcome.document["data_summary"]["train"] == 12
        assert outcome.document["data_summary"]["warnings"]
        assert all(note in outcome.said for note in outcome.document["notes"])
        assert contents(project / "steel") == before


class TestWeights:
    def test_a_model_that_is_not_there_is_answered_with_near_ones(self, project: Path) -> None:
        outcome = run(project, "--set", "model.weights=yolo11nn.yaml")

        assert "`model.weights: yolo11nn.yaml` is neither a file" in failed(outcome, 2)
        assert "yolo11n.yaml" in outcome.hint

    def test_a_package_of_modules_that_is_not_there(self, project: Path) -> None:
        text = failed(run(project, "--set", "model.modules=[no_such_blocks]"), 2)

        assert text == "`model.modules` names no_such_blocks, which is not there."

    @pytest.mark.slow
    def test_a_truncated_checkpoint(self, project: Path, test_data: Path) -> None:
        weights = test_data / "weights" / "broken" / "yolov8n_truncated.pt"

        assert "is truncated" in failed(run(project, "--set", f"model.weights={weights}"), 1)

    @pytest.mark.slow
    def test_a_text_file_as_checkpoint(self, project: Path) -> None:
        (project / "notes.pt").write_text("epochs: 3\n")

        text = failed(run(project, "--set", "model.weights=notes.pt"), 1)

        assert "was never a PyTorch checkpoint" in text

    @pytest.mark.slow
    def test_a_checkpoint_that_needs_a_class_which_is_not_installed(self, project: Path) -> None:
        (project / "elsewhere.py").write_text("import torch\nclass Gate(torch.nn.Module): ...\n")
        code = "import torch, elsewhere; torch.save({'model': elsewhere.Gate()}, 'gate.pt')"
        subprocess.run([sys.executable, "-c", code], check=True, cwd=project)
        (project / "elsewhere.py").unlink()

        outcome = run(project, "--set", "model.weights=gate.pt")

        assert "needs elsewhere.Gate" in failed(outcome, 1)
        assert "model.modules: [elsewhere]" in outcome.hint

    @pytest.mark.slow
    def test_an_exclusion_that_fits_no_node_is_told_where_the_names_are_known(self, project: Path) -> None:
        outcome = run(project, "--until", "quantize", "--set", "quantize.exclude=[head, nosuch]")

        assert failed(outcome, 2) == "quantize.exclude: no node of the model fits 'nosuch'."
        assert "/model.0/" in outcome.hint
        assert len(outcome.document["epochs"]) == 1
        assert fsck(Store(project / ".edgebound")) == []


def test_a_folder_that_cannot_be_written_is_named() -> None:
    outcome = invoke("run", "--demo", "--root", "/sys", "--json")

    assert "cannot be written" in failed(outcome, 1)
    assert "--root" in outcome.hint


class TestReport:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / ".edgebound" / "runs" / "20260504-093012-7f3a"
        write_report(sample_run(), folder)
        return folder

    @pytest.mark.parametrize("name", [[], ["nosuch"], ["pipeline.yaml"]])
    def test_without_a_run_there_is_none(self, project: Path, name: list[str]) -> None:
        outcome = invoke("report", *name, "--root", project, "--json")

        assert "There is no run" in failed(outcome, 2)
        assert not (project / ".edgebound").exists()

    def test_a_run_is_found_as_the_last_by_id_by_folder_and_by_file(
        self, tmp_path: Path, folder: Path
    ) -> None:
        for name in ([], [folder.name], [folder], [folder / "report.json"]):
            outcome = invoke("report", *name, "--root", tmp_path, "--json")

            assert (outcome.code, outcome.document["run"]) == (0, folder.name)

    def test_a_file_that_happens_to_lie_beside_is_not_taken(
        self, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(folder)

        assert "There is no run 'nosuch'" in failed(
            invoke("report", "nosuch", "--root", tmp_path, "--json"), 2
        )

    @pytest.mark.parametrize("kept", [0, 1, 200, 5000])
    def test_a_truncated_report_is_no_report(self, tmp_path: Path, folder: Path, kept: int) -> None:
        whole = (folder / "report.json").read_text()
        (folder / "report.json").write_text(whole[:kept])

        text = failed(invoke("report", "--root", tmp_path, "--json"), 1)

        assert f"{folder / 'report.json'} cannot be read as a report" in text
        assert (folder / "report.json").read_text() == whole[:kept]


class TestCheck:
    @pytest.fixture
    def save(self, tmp_path: Path) -> Callable[[str], Path]:
        def save(body: str) -> Path:
            graph = f"g (float[1, 3, 8, 8] x) => (float[n] y) {{ {body} }}"
            model = parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> {graph}')
            (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
            return tmp_path / "model.onnx"

        return save

    @pytest.mark.parametrize("content", [b"", b"epochs: 3\n", b"\x08\x08" * 100])
    def test_a_file_that_is_no_onnx(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "model.onnx").write_bytes(content)

        text = failed(invoke("check", tmp_path / "model.onnx", "--target", "orin", "--json"), 1)

        assert str(tmp_path / "model.onnx") in text

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        assert "is no file" in failed(invoke("check", tmp_path / "none.onnx", "--json"), 1)

    def test_a_model_that_the_target_takes(self, save: Callable[[str], Path]) -> None:
        outcome = invoke("check", save("y = Relu (x)"), "--json")

        assert outcome.code == 0
        assert outcome.document["targets"] == {
            "cpu": {"verdict": "pass", "findings": [], "confirmed_by": "", "dla": None}
        }

    def test_an_operator_that_a_target_lacks_is_5_and_stands_in_the_sarif(
        self, save: Callable[[str], Path], tmp_path: Path
    ) -> None:
        model = save("a = YoloLayer (x) y = Relu (a)")

        outcome = invoke(
            "check", model, "--target", "orin", "--target", "cpu", "--sarif", tmp_path / "o.sarif", "--json"
        )  # fmt: skip
        sarif = json.loads((tmp_path / "o.sarif").read_text())
        (first, *_) = sarif["runs"][0]["results"]

        assert outcome.code == 5
        assert {one["verdict"] for one in outcome.document["targets"].values()} == {"unsupported"}
        assert outcome.document["targets"]["orin"]["findings"][0]["op"] == "YoloLayer"
        assert "YoloLayer" in outcome.said
        assert (sarif["version"], sarif["runs"][0]["tool"]["driver"]["name"]) == ("2.1.0", "edgebound")
        assert (first["level"], first["ruleId"]) == ("error", "operator")
        assert first["message"]["text"].startswith("orin: YoloLayer (a): ")
        assert first["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == model.as_posix()
        assert [one["level"] for one in sarif["runs"][0]["results"]] == ["error", "note", "error"]

    @pytest.mark.parametrize("name", ["none/o.sarif", "."])
    def test_a_sarif_file_that_cannot_be_written(
        self, save: Callable[[str], Path], tmp_path: Path, name: str
    ) -> None:
        outcome = invoke(
            "check", save("y = Relu (x)"), "--target", "orin", "--sarif", tmp_path / name, "--json"
        )

        assert f"{tmp_path / name} cannot be written" in failed(outcome, 2)


class TestInit:
    def test_it_writes_what_run_reads(self, test_data: Path, tmp_path: Path) -> None:
        data = test_data / "bsdata" / "data.yaml"

        outcome = invoke("init", data, "--root", tmp_path, "--weights", "yolov8n.pt")
        config = load_config(None, [], demo=False, folder=tmp_path)

        assert outcome.code == 0
        assert [path.name for path in tmp_path.iterdir()] == ["pipeline.yaml"]
        assert (tmp_path / config.data.path).resolve() == data.resolve()
        assert config.model.weights == "yolov8n.pt"
        assert (config.train.epochs, config.train.imgsz) == (100, 640)

    def test_it_does_not_overwrite_unless_forced(self, project: Path) -> None:
        before = (project / "pipeline.yaml").read_text()
        data = project / "steel" / "data.yaml"

        refused = invoke("init", data, "--root", project)
        kept = (project / "pipeline.yaml").read_text()
        forced = invoke("init", data, "--root", project, "--force")

        assert (refused.code, kept) == (2, before)
        assert "is there already.\nhint:  --force overwrites it." in refused.said
        assert forced.code == 0
        assert load_config(None, [], demo=False, folder=project).train.imgsz == 64

    def test_a_broken_data_yaml_is_told_with_its_line_and_nothing_is_written(self, tmp_path: Path) -> None:
        (tmp_path / "data.yaml").write_text("names: [a\ntrain: x\n")

        outcome = invoke("init", tmp_path / "data.yaml", "--root", tmp_path)

        assert outcome.code == 1
        assert f"{tmp_path}/data.yaml:2: not YAML" in outcome.said
        assert [path.name for path in tmp_path.iterdir()] == ["data.yaml"]

    @pytest.mark.parametrize("name", ["none.yaml", "pictures.zip", "."])
    def test_what_is_no_data_set_is_refused(self, tmp_path: Path, name: str) -> None:
        outcome = invoke("init", tmp_path / name, "--root", tmp_path)

        assert outcome.code == 2
        assert outcome.said.startswith("error: ")


class TestTargets:
    def test_all_are_listed(self) -> None:
        outcome = invoke("targets", "--json")

        assert outcome.code == 0
        assert [one["name"] for one in outcome.document] == profile_names()
        assert "NVIDIA Jetson AGX Orin" in outcome.said

    def test_one_is_shown_with_its_sources(self) -> None:
        outcome = invoke("targets", "orin@6.2", "--json")

        assert outcome.document[0]["sm"] == "8.7"
        assert "JetPack 6.2 ships TensorRT 10.3" in outcome.said

    def test_one_that_is_not_there_is_answered_with_the_known_ones(self) -> None:
        outcome = invoke("targets", "nosuch", "--json")

        assert failed(outcome, 2) == "There is no target 'nosuch'."
        assert outcome.hint == KNOWN


def test_doctor_finds_what_this_machine_has(tmp_path: Path) -> None:
    outcome = invoke("doctor", "--root", tmp_path, "--json")

    assert outcome.code == 0
    assert {"Python", "OpenCV loads", "disk", "folder"} <= {one["what"] for one in outcome.document}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["ls", "fsck", "gc"])
class TestStore:
    def test_where_nothing_has_run_there_is_no_store(self, tmp_path: Path, command: str) -> None:
        outcome = invoke("store", command, "--root", tmp_path)

        assert outcome.code == 2
        assert f"There is no store in {tmp_path}: nothing has run there yet." in outcome.said
        assert list(tmp_path.iterdir()) == []

    def test_an_empty_store_is_sound(self, tmp_path: Path, command: str) -> None:
        Store(tmp_path / ".edgebound").prepare()

        assert invoke("store", command, "--root", tmp_path).code == 0


def test_store_commands_look_after_what_a_run_made(project: Path) -> None:
    run(project, "--until", "data")

    listed = invoke("store", "ls", "--root", project, "--json")
    checked = invoke("store", "fsck", "--root", project)
    kept = invoke("store", "gc", "--root", project)
    freed = invoke("store", "gc", "--days", "0", "--root", project)

    assert [one["stage"] for one in listed.document] == ["data"]
    assert (checked.code, checked.said) == (0, "Clean.\n")
    assert (kept.said, freed.code) == ("Freed 0.0 MiB.\n", 0)
    assert Store(project / ".edgebound").step_keys() == []
