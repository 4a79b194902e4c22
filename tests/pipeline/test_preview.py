from pathlib import Path

import pytest
from toys import Heard, Shout, ShoutInputs, Sow, SowInputs

from pipeline.config import load_config
from pipeline.preview import DependsOnError, Pending, Planned, Preview, preview
from pipeline.profiles import find_profile
from pipeline.runner import Runner
from pipeline.store import Store
from targets.errors import UsageError

CPU = find_profile("cpu")


class TestPending:
    def test_all_its_fields_are_pending_and_all_its_lists_empty(self) -> None:
        pending = Pending("train")

        assert isinstance(pending.checkpoint.path, Pending)
        assert list(pending.checkpoint.notes) == []

    def test_a_branch_on_it_says_what_it_depends_on(self) -> None:
        with pytest.raises(DependsOnError, match="depends on train"):
            bool(Pending("train").drift)


class TestPreview:
    def test_what_was_never_done_would_run_and_so_would_all_that_follows(self, store: Store) -> None:
        step = Preview(store)

        sown = step(Sow(), SowInputs(), label="a")
        step(Shout(), ShoutInputs(text=sown.text))

        assert step.planned == [
            Planned(title="data a", state="runs", seconds=None),
            Planned(title="train", state="runs", seconds=None),
        ]

    def test_what_is_done_is_cached_and_gives_its_result(self, runner: Runner, store: Store) -> None:
        runner(Sow(), SowInputs(), label="a")
        step = Preview(store)

        sown = step(Sow(), SowInputs(), label="a")
        step(Shout(), ShoutInputs(text=sown.text))

        assert [one.state for one in step.planned] == ["cached", "runs"]
        assert sown.text.path.is_dir()
        assert Shout.calls == []

    def test_a_step_that_ran_with_other_settings_tells_how_long_it_took(
        self, runner: Runner, store: Store
    ) -> None:
        runner(Sow(word="old"), SowInputs(), label="a")
        step = Preview(store)

        step(Sow(word="new"), SowInputs(), label="a")

        assert step.planned[0].state == "runs"
        assert step.planned[0].seconds is not None

    def test_a_pending_result_is_seen_however_deep_it_lies(self, runner: Runner, store: Store) -> None:
        text = runner(Sow(), SowInputs()).text
        runner(Shout(), ShoutInputs(text=text, heard=(Heard(word="a", at=1),)))
        step = Preview(store)

        step(Shout(), ShoutInputs(text=text, heard=(Heard(word="a", at=Pending("x").at),)))
        step(Shout(), ShoutInputs(text=text, heard=(Heard(word="a", at=1),)))

        assert [one.state for one in step.planned] == ["runs", "cached"]


def test_in_an_empty_folder_every_step_of_the_demo_would_run_and_nothing_is_written(
    tmp_path: Path,
) -> None:
    planned = preview(load_config(None, [], demo=True, folder=tmp_path), {"cpu": CPU}, tmp_path)

    titles = [one.title for one in planned]
    assert {one.state for one in planned} == {"runs"}
    assert titles[:10] == [
        "data render", "data check", "train untrained", "export untrained", "check cpu untrained",
        "train", "export", "check cpu", "quantize calibration", "quantize int8",
    ]  # fmt: skip
    assert {"verify latency", "verify openvino int8 against onnx int8"} <= set(titles)
    assert len(titles) == len(set(titles))
    assert list(tmp_path.iterdir()) == []


def test_two_targets_share_what_does_not_depend_on_them(tmp_path: Path) -> None:
    config = load_config(None, [], demo=True, folder=tmp_path)

    titles = [
        one.title for one in preview(config, {"cpu": CPU, "cpu-ort": find_profile("cpu-ort")}, tmp_path)
    ]

    assert titles.count("train") == titles.count("quantize int8") == 1
    assert {"check cpu", "check cpu-ort", "build onnxruntime int8"} <= set(titles)


def test_of_a_users_project_the_data_are_looked_at_but_not_checked(project: Path) -> None:
    planned = preview(load_config(None, [], demo=False, folder=project), {"cpu": CPU}, project)

    assert [one.title for one in planned][:2] == ["data check", "train untrained"]
    assert not (project / ".edgebound").exists()


def test_a_precision_that_the_target_does_not_have_is_refused(tmp_path: Path) -> None:
    config = load_config(None, ["build.precision=fp16"], demo=True, folder=tmp_path)

    with pytest.raises(UsageError, match="fp16`, but cpu has fp32, int8"):
        preview(config, {"cpu": CPU}, tmp_path)


def test_a_search_lists_its_first_trial_and_says_what_the_rest_depends_on(tmp_path: Path) -> None:
    config = load_config(None, ["quantize.drift_budget_pt=0.3"], demo=True, folder=tmp_path)

    planned = preview(config, {"cpu": CPU, "cpu-ort": find_profile("cpu-ort")}, tmp_path)

    titles = [one.title for one in planned]
    assert "quantize trial 1/15" in titles
    assert "build openvino int8" not in titles
    assert [one.title for one in planned if one.state == "open"] == [
        f"what follows for {name} depends on verify trial 1/15 against onnx fp32"
        for name in ("cpu", "cpu-ort")
    ]
