"""Boards, end to end: a real sshd on loopback, the real agent, and stand-ins for TensorRT and CUDA."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from whole_runs import SMALL, Outcome, options, outcome, run, start

from tests.board_fixture.sshd import Sshd
from tests.targets.board.trees import AGX_ORIN_JETPACK7, release, write_tree
from tests.trt_double.fixtures import board_env

pytestmark = pytest.mark.slow
PROFILES = Path(__file__).parents[2] / "targets" / "profiles"
BRISK = {**SMALL, "verify.board_runs": 40, "verify.board_seconds": 1, "verify.board_warmup_s": 0.05}
BY_HAND = {**BRISK, "verify.streams": 3}  # a kit of its own, which no board has answered yet
AGX_ORIN_JETPACK6 = {**AGX_ORIN_JETPACK7, **release(36, "4.3")}
ENGINES = ["tensorrt-fp32", "tensorrt-fp16", "tensorrt-int8"]


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give what a board calls its Python: ours, with stand-ins for what is a board's own."""
    folder = tmp_path_factory.mktemp("board")
    root = write_tree(folder / "root", AGX_ORIN_JETPACK6)
    variables = {**board_env("10.3"), "EDGEBOUND_SYSROOT": str(root)}
    exports = "".join(f"export {name}='{value}'\n" for name, value in variables.items())
    python = folder / "python"
    python.write_text(f'#!/bin/sh\n{exports}exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return python


@pytest.fixture
def reached(project: Path, board: Path, tmp_path: Path) -> Iterator[Path]:
    """Give the project with a board in `devices.yaml`."""
    server = Sshd(tmp_path)
    device = {
        "name": "orin-lab-1",
        "host": "127.0.0.1",
        "port": server.port,
        "targets": ["orin"],
        "identity_file": str(server.key),
        "known_hosts": str(server.known_hosts()),
        "python": str(board),
        "state": str(tmp_path / "state"),
    }
    file = project / "devices.yaml"
    file.write_text(yaml.safe_dump({"devices": [device]}))
    try:
        yield project
    finally:
        file.unlink()
        server.close()


def ladder_of(result: Outcome) -> dict[str, dict]:
    return {rung["id"]: rung for rung in result.document["targets"]["orin"]["ladder"]}


def kit_for_orin(project: Path, out: Path, settings: dict[str, object]) -> Path:
    done = outcome(
        start(project, "kit", "--demo", "--json", *options(settings), "-t", "orin", "-o", str(out))
    )
    assert done.code == 0, done.said
    return out


def work_off(kit: Path, board: Path) -> Path:
    """Run the agent of a kit as a person would, and give the receipt that it wrote."""
    done = subprocess.run([board, "agent.pyz", "run"], cwd=kit, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return kit / "job" / "receipt.zip"


def accept(project: Path, receipt: Path) -> Outcome:
    return outcome(start(project, "accept", str(receipt), "--json"))


def test_run_builds_measures_and_verifies_on_the_board_and_what_is_simulated_never_passes(
    reached: Path,
) -> None:
    result = run(reached, BRISK, "--target", "orin")
    target, ladder = result.document["targets"]["orin"], ladder_of(result)

    assert result.code == 4
    assert result.document["verdict"] == "inconclusive"
    assert "simulated: not measured on the device itself" in result.reasons
    assert [name for name, rung in ladder.items() if rung["candidate"]] == ENGINES
    for name in ENGINES:
        assert ladder[name]["simulated"]
        assert ladder[name]["latency_ms"]["n"] >= 40
        assert ladder[name]["map50"] > 0.2
    assert target["engine"] is None
    assert target["board"]["facts"]["JetPack"] == "6.2"
    assert "trtexec --onnx=" in target["board"]["engines"][2]["command"]


def test_a_fresh_receipt_is_not_asked_for_again(reached: Path) -> None:
    run(reached, BRISK, "--target", "orin")

    again = run(reached, BRISK, "--target", "orin")

    assert again.code == 4
    assert again.worked == []


def test_a_rehearsal_that_accepts_what_is_simulated_comes_to_a_verdict(reached: Path) -> None:
    result = run(reached, {**BRISK, "gate.accept_simulated": True}, "--target", "orin")

    assert "simulated" not in result.reasons
    engine = ladder_of(result)["tensorrt-fp32"]
    assert engine["simulated"]
    assert "p99" in [check["measure"] for check in engine["checks"]]  # held against orin's 8 ms


def test_without_a_device_the_kit_is_handed_out_and_its_receipt_is_judged(
    project: Path, board: Path, tmp_path: Path
) -> None:
    first = run(project, BY_HAND, "--target", "orin")
    kit = project / first.document["targets"]["orin"]["kit"]
    receipt = work_off(kit, board)
    moved = shutil.move(receipt, tmp_path / "receipt.zip")

    judged = accept(project, moved)

    assert first.code == 4
    assert "there is no devices.yaml" in first.reasons
    assert judged.code == 4
    assert "simulated: not measured on the device itself" in judged.reasons
    assert ladder_of(judged)["tensorrt-int8"]["latency_ms"]["n"] >= 40


def test_a_receipt_is_judged_by_the_profile_of_the_users_own_that_it_was_made_for(
    project: Path, board: Path, tmp_path: Path
) -> None:
    profile = tmp_path / "my-orin.yaml"
    profile.write_text((PROFILES / "orin.yaml").read_text().replace("name: orin\n", "name: my-orin\n"))
    first = run(project, BY_HAND, "--target", str(profile))
    receipt = work_off(project / first.document["targets"]["my-orin"]["kit"], board)

    judged = accept(project, receipt)

    assert judged.code == 4
    assert list(judged.document["targets"]) == ["my-orin"]
    assert "simulated: not measured on the device itself" in judged.reasons


def test_receipts_of_other_kits_boards_and_bytes_are_refused(
    project: Path, board: Path, tmp_path: Path
) -> None:
    receipt = work_off(kit_for_orin(project, tmp_path / "kit", BRISK), board)
    faster = tamper(receipt, tmp_path / "faster.zip")
    (record,) = [
        path
        for path in (project / ".edgebound" / "kits").glob("*.json")
        if path.stem == json.loads(zipfile.ZipFile(receipt).read("receipt.json"))["kit"]
    ]

    tampered = accept(project, faster)
    order = json.loads(record.read_text())
    record.write_text(json.dumps({**order, "settings": [*order["settings"], "verify.streams=4"]}))
    older = accept(project, receipt)
    record.unlink()
    unknown = accept(project, receipt)

    assert (tampered.code, older.code, unknown.code) == (4, 4, 4)
    assert "seal" in tampered.reasons + tampered.said
    assert "The receipt answers to kit" in older.reasons + older.said
    assert "was not handed out by this project" in unknown.said


def tamper(receipt: Path, out: Path) -> Path:
    """Make the engines of a receipt a little faster."""
    with zipfile.ZipFile(receipt) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "receipt.json":
                content = content.replace(b'"power_mode": "MAXN"', b'"power_mode": "MAXQ"')
                assert content != source.read(name)
            target.writestr(name, content)
    return out


def test_an_engine_that_cannot_be_built_is_a_rung_that_says_why(
    project: Path, board: Path, tmp_path: Path
) -> None:
    kit = kit_for_orin(project, tmp_path / "kit", BRISK)
    done = subprocess.run(
        [board, "agent.pyz", "run"],
        cwd=kit,
        env={**os.environ, "TRT_DOUBLE_FAIL": "build:int8"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr

    judged = accept(project, kit / "job" / "receipt.zip")

    failed = ladder_of(judged)["build-int8"]
    assert failed["verdict"] in {"error", "unsupported"}
    assert failed["reasons"]
    assert ladder_of(judged)["tensorrt-fp16"]["map50"] > 0.2
