"""Six faults, each planted in an INT8 engine that alone may ship, each refused for what it is."""

import os
import shutil
from pathlib import Path

import pytest
from planted import (
    Fault,
    drop_boxes_below,
    forget_a_class,
    halve_scores,
    plant,
    refused,
    run_with,
    shift_boxes,
    slow_down,
)
from whole_runs import SMALL

from pipeline.gate import exit_code

pytestmark = pytest.mark.slow
INT8_ONLY = {**SMALL, "build.precision": "int8"}
SMALL_PX2 = 150 * (96 / 128) ** 2  # the smaller third of the demo's boxes, where pictures of 128 px become 96


@pytest.fixture(scope="module")
def faulty(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the trained project as a copy of its own, so that no fault is cached for others."""
    folder = tmp_path_factory.mktemp("faulty") / "project"
    shutil.copytree(project, folder, copy_function=os.link)
    return folder


def test_without_a_fault_the_int8_engine_is_not_refused(faulty: Path) -> None:
    report = run_with(faulty, INT8_ONLY)

    assert refused(report) <= {"speedup"}  # which depends on the machine


def test_whole_graph_int8_is_refused_because_it_finds_nothing(faulty: Path) -> None:
    report = run_with(faulty, {**INT8_ONLY, "quantize.exclude": "[]"})

    assert (report.verdict, exit_code(report)) == ("refuse", 3)
    assert {"step drift", "drift"} <= refused(report)
    assert any("step drift" in reason and "limit 1.0" in reason for reason in report.reasons)


@pytest.mark.parametrize(
    ("fault", "measures", "unmoved"),
    [
        pytest.param(
            halve_scores, {"distance of right scores", "recall loss at confidence 0.25"},
            {"step drift", "drift"}, id="scores halved",
        ),
        pytest.param(shift_boxes, {"step drift", "drift"}, set(), id="boxes shifted by 4 px"),
        pytest.param(
            forget_a_class, {"AP50 loss of scratch"}, {"AP50 loss of hole", "AP50 loss of stain"},
            id="a class zeroed",
        ),
        pytest.param(
            drop_boxes_below(SMALL_PX2), {"mAP50-95 loss of small boxes"}, {"mAP50-95 loss of medium boxes"},
            id="the smallest objects dropped",
        ),
    ],
)  # fmt: skip
def test_a_fault_in_the_graph_is_refused_for_what_it_is(
    faulty: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
    measures: set[str],
    unmoved: set[str],
) -> None:
    plant(monkeypatch, fault, tmp_path / "altered")

    report = run_with(faulty, INT8_ONLY)

    assert (report.verdict, exit_code(report)) == ("refuse", 3)
    assert measures <= refused(report)
    assert not unmoved & refused(report)
    assert all(any(measure in reason for reason in report.reasons) for measure in measures)


def test_an_int8_that_is_slower_than_fp32_is_refused_and_under_auto_fp32_ships(
    faulty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_down(monkeypatch, fp32=0.02, int8=0.06)
    slowed = {"verify.runs": 41}  # another measurement than the true one

    fixed = run_with(faulty, {**INT8_ONLY, **slowed})
    free = run_with(faulty, {**SMALL, **slowed})

    assert (fixed.verdict, exit_code(fixed)) == ("refuse", 3), fixed.reasons
    assert refused(fixed) == {"speedup"}
    assert any("INT8 is 0.3" in reason and "limit 1.10" in reason for reason in fixed.reasons)
    assert (free.verdict, free.targets["cpu"].precision) == ("pass", "fp32")
