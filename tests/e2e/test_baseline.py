"""A second run against the first: as its baseline, side by side, and judged again."""

import json
from pathlib import Path

import pytest
from whole_runs import SMALL, options, outcome, run, start

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def first(project: Path) -> str:
    """Give the id of a run that passed."""
    return run(project, SMALL).document["run"]


def test_a_run_against_itself_loses_nothing(project: Path, first: str) -> None:
    again = run(project, SMALL, "--baseline", first)

    rungs = [rung for rung in again.ladder if rung["candidate"]]
    assert again.code == 0
    assert again.document["baseline"] == first
    assert min(abs(rung["released"]["drift_pt"]) for rung in rungs) == 0
    assert all(
        any(f"drift against {first}" == check["measure"] for check in rung["checks"]) for rung in rungs
    )


def test_other_data_is_refused_before_anything_is_trained(project: Path, first: str) -> None:
    other = run(project, {**SMALL, "demo.val": 24}, "--baseline", first)

    assert other.code == 2
    assert "they differ in validation data" in other.document["error"]["what"]
    assert not any("train" in label for label in other.worked if label != "train untrained")


def test_two_runs_are_compared_picture_by_picture(project: Path, first: str) -> None:
    compared = outcome(start(project, "compare", first, first, "--json"))

    assert compared.code == 0
    assert compared.document["targets"]["cpu"]["reasons"][0].startswith("may take the place of openvino")


def test_a_stored_report_is_judged_by_other_limits(project: Path, first: str) -> None:
    strict = {"gate.p99_ms": 0.001}
    before = (project / ".edgebound" / "runs" / first / "report.json").read_bytes()

    same, stricter = (
        outcome(start(project, "gate", first, "--json", *options(settings))) for settings in ({}, strict)
    )

    assert (same.code, same.document["reasons"]) == (0, json.loads(before)["reasons"])
    assert stricter.code in {3, 4}  # 4: on a loaded machine the latency is too noisy to refuse by it
