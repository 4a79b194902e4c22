"""`agent.pyz run`: a kit goes in, a receipt comes out, that the host accepts."""

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from stages.artifact import Artifact
from stages.dataset import Picture
from stages.evaluation.detect import detect
from targets.agent.lock import try_lock
from targets.archives import unpack
from targets.engine import open_engine
from targets.kit import KitModel, open_kit
from targets.model import load_model_spec
from targets.profile import TargetProfile
from targets.receipt import load_receipt
from targets.runtimes import find_runtime

from .conftest import WORK, Board

Give = Callable[..., Board]


@pytest.mark.slow
def test_a_kit_becomes_a_receipt(board: Give) -> None:
    here = board()

    done = here.agent("run", "--json")

    assert done.returncode == 0, done.stderr
    receipt = here.receipt()
    assert [one.id for one in receipt.engines] == ["fp32", "int8"]
    for one in receipt.engines:
        assert one.build is not None
        assert one.timings[0].mode == "call"
        assert 1 <= one.timings[0].latency.n <= WORK.runs
        assert one.memory_mib is not None
        assert 10 < one.memory_mib < 2000
        assert one.startup_s is not None
        assert 0 < one.startup_s < 60
        manifest = open_engine(here.job / "receipt/engines" / one.id)
        assert manifest.precision == one.precision
    assert not receipt.simulated
    assert load_model_spec(here.job / "receipt/engines/fp32").parent_digest == "sha256:1"
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events == here.events()
    assert [one["phase"] for one in events if one["event"] == "phase"] == ["build", "measure", "verify"]


@pytest.mark.slow
def test_detections_are_those_of_the_host_s_evaluation(
    board: Give, pictures: list[tuple[str, Path]], tmp_path: Path
) -> None:
    here = board()
    here.agent("run")
    spec = load_model_spec(here.job / "build/fp32/engine")
    spec = replace(spec, conf=WORK.conf, iou=WORK.iou, max_det=WORK.max_det)
    with find_runtime("onnxruntime").open(
        here.job / "build/fp32/engine", open_kit(here.kit)[0].profile
    ) as infer:
        expected = detect(
            [infer],
            spec,
            pictures=[_picture(here.kit / "pictures" / name) for name, _ in pictures],
            root=Artifact.of(here.kit / "pictures"),
        )
    expected.save(tmp_path)

    assert (here.job / "receipt/detections/fp32.npz").read_bytes() == (
        tmp_path / "detections.npz"
    ).read_bytes()
    assert expected.counts.sum() > 0


def _picture(path: Path) -> Picture:
    from targets.folder import describe_file

    nothing = np.zeros((0, 5)), np.zeros(0, bool)
    return Picture(
        file=path.name,
        sha256=describe_file(path).sha256,
        width=0,
        height=0,
        boxes=nothing[0],
        crowd=nothing[1],
    )


@pytest.mark.slow
def test_the_archive_is_the_receipt(board: Give, tmp_path: Path) -> None:
    here = board("null")
    here.agent("run")

    unpack(here.job / "receipt.zip", tmp_path / "brought")

    assert load_receipt(tmp_path / "brought") == here.receipt()


@pytest.mark.slow
def test_a_second_run_has_nothing_to_do(board: Give) -> None:
    here = board("null")
    here.agent("run")
    first = here.receipt()

    done = here.agent("run")

    assert done.returncode == 0
    assert here.receipt() == first


@pytest.mark.slow
def test_a_measurement_that_is_too_old_is_made_again_and_nothing_else(board: Give) -> None:
    here = board("null")
    here.agent("run")
    first = here.receipt()

    here.agent("run", "--max-age-h", "0")

    assert here.built() == ["fp32", "int8"]
    assert here.receipt().engines[0].timings != first.engines[0].timings
    assert here.receipt().engines[0].build == first.engines[0].build


@pytest.mark.slow
def test_an_engine_that_cannot_be_built_does_not_stop_the_others(
    board: Give, model_folder: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(model_folder, broken)
    model = onnx.load(broken / "model.onnx")
    model.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(model, broken / "model.onnx")
    here = board(models=[(KitModel("fp32", "fp32"), model_folder), (KitModel("int8", "int8"), broken)])

    done = here.agent("run")

    good, bad = here.receipt().engines
    assert done.returncode == 0
    assert good.timings
    assert bad.unsupported
    assert "NoSuchOperator" in bad.failed
    assert "NoSuchOperator" in done.stderr


@pytest.mark.slow
def test_an_engine_that_answers_otherwise_than_promised_fails_alone(
    board: Give, model_folder: Path, tmp_path: Path
) -> None:
    lying = tmp_path / "lying"
    shutil.copytree(model_folder, lying)
    replace(load_model_spec(lying), class_names=("one",)).save(lying)
    here = board(models=[(KitModel("fp32", "fp32"), model_folder), (KitModel("int8", "int8"), lying)])

    here.agent("run")

    good, bad = here.receipt().engines
    assert good.timings
    assert "model.json" in bad.failed
    assert not bad.timings


def test_a_kit_for_another_agent_is_refused(board: Give) -> None:
    here = board("null", agent=b"PK another agent")
    (here.kit.parent / "agent.pyz").write_bytes(_own_agent())

    done = subprocess.run(
        [*here.python, here.kit.parent / "agent.pyz", "run", "--kit", here.kit, "--state", here.state],
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    assert "was written for agent" in done.stderr


def _own_agent() -> bytes:
    from targets.agent.archive import make_agent

    return make_agent()


def test_a_kit_without_a_seal_is_refused_before_anything_is_done(board: Give) -> None:
    here = board("null")
    (here.kit / "seal.json").unlink()

    done = here.agent("run")

    assert done.returncode == 1
    assert "seal" in done.stderr
    assert not here.job.exists()


def test_a_changed_picture_is_refused_before_anything_is_done(board: Give) -> None:
    here = board("null")
    (here.kit / "pictures/000003.png").write_bytes(b"")

    done = here.agent("start")

    assert done.returncode == 1
    assert "000003.png" in done.stderr
    assert not here.job.exists()


def test_a_board_that_is_not_the_target_is_refused(board: Give) -> None:
    orin = TargetProfile(name="orin", device="AGX Orin", runtime="null", module="agx-orin", jetpack="6.2")
    here = board("null", profile=orin)

    done = here.agent("run")

    assert done.returncode == 4
    assert "is not here" in done.stderr
    assert "AGX Orin" in done.stderr
    assert not (here.job / "build").exists()


def test_a_runtime_that_is_missing_is_told_before_anything_is_done(board: Give) -> None:
    here = board("tensorrt")

    done = here.agent("run")

    assert done.returncode == 4
    assert "This board lacks" in done.stderr
    assert not (here.job / "build").exists()
    assert here.events()[-1]["code"] == 4


def test_a_busy_board_is_waited_for_and_then_given_up(board: Give) -> None:
    here = board("null")
    assert try_lock(here.state / "board.lock", {"pid": 1, "job": "/another/job", "since": "noon"})

    done = here.agent("run", "--wait-s", "0.3")

    assert done.returncode == 4
    assert "process 1 works in /another/job since noon" in done.stderr
    assert any("waiting" in str(one.get("text")) for one in here.events())


def test_work_of_another_kit_is_not_taken_for_one_s_own(board: Give) -> None:
    here = board("null")
    here.job.mkdir()
    (here.job / "kit").write_text("another\n")

    done = here.agent("run")

    assert done.returncode == 2
    assert "belongs to kit another" in done.stderr


def test_without_a_kit_the_agent_says_so(board: Give, tmp_path: Path) -> None:
    here = board("null")
    shutil.copy(here.kit / "agent.pyz", tmp_path / "agent.pyz")

    done = subprocess.run([*here.python, tmp_path / "agent.pyz", "run"], capture_output=True, text=True)

    assert done.returncode == 2
    assert "There is no kit" in done.stderr
