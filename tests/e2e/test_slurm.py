"""Whole runs as jobs of a real Slurm on this machine."""

import json
import signal
import time
from pathlib import Path

import pytest
from whole_runs import TINY, options, outcome, run, start

from tests.slurm_fixture.slurm import slurm_in

pytestmark = pytest.mark.slow


def test_a_run_on_slurm_outlives_who_submitted_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "a project"
    for folder in (project, tmp_path / "slurm"):
        folder.mkdir()
    with slurm_in(tmp_path / "slurm") as slurm:
        for name, value in slurm.environment.items():
            monkeypatch.setenv(name, value)
        first = start(project, "run", "--target", "cpu", "--demo", "--executor", "slurm", *options(TINY))
        wait_for_jobs(project, 2)
        first.send_signal(signal.SIGKILL)
        first.communicate()

        result = run(project, TINY, "--target", "cpu", "--executor", "slurm")
        jobs = slurm.ask("squeue", "--states=all", "--noheader", "--format=%j").split()

    assert result.document["error"] is None, result.said
    assert [(rung["form"], rung["runtime"]) for rung in result.ladder][:2] == [
        ("train", "pytorch"),
        ("export", "onnxruntime"),
    ]
    assert {"train", "export", "build openvino int8"} <= set(result.worked)
    assert len(jobs) == 2
    assert "train: job 1, found again" in result.said
    assert "train: train: done in" in result.said  # the log of the job
    assert (project / result.document["run_dir"] / "report.html").exists()


def test_a_partition_that_is_not_there_is_a_wrong_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slurm").mkdir()
    with slurm_in(tmp_path / "slurm") as slurm:
        for name, value in slurm.environment.items():
            monkeypatch.setenv(name, value)

        result = outcome(
            start(
                tmp_path, "run", "--demo", "--json", "--executor", "slurm", "--set", "executor.partition=gpu"
            )
        )

    assert result.code == 2
    assert "There is no such partition" in result.document["error"]["what"]
    assert "Partitions (time limit, of a node): all infinite" in result.document["error"]["hint"]


def wait_for_jobs(project: Path, count: int) -> None:
    end = time.monotonic() + 60
    while True:
        records = list(project.glob(".edgebound/jobs/*/jobs.json"))
        if records and len(json.loads(records[0].read_bytes())) == count:
            return
        assert time.monotonic() < end
        time.sleep(0.05)
