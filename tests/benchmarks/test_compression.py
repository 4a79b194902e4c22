"""The parts of the compression benchmark that work without training."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import compression
from benchmarks.compression_models import Bench, Plan

SPEEDS = {"half": 2.6, "0.2": 2.0, "0.3": 2.7, "0.4": 3.1, "0.5": 3.4}
SEED = {
    "baseline_gmac": 0.16,
    "gmac": 0.08,
    "pruned_drift_pt": 0.5,
    "small_drift_pt": 1.5,
    "int8_drift_pt": 0.75,
}


def result(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    compression.main(arguments)
    document: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return document


@pytest.fixture(autouse=True)
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "_seed", lambda _bench, seed: {"seed": seed, **SEED})
    monkeypatch.setattr(compression, "_speed", lambda _bench, imgsz: {"engines_px": imgsz, **SPEEDS})


def test_what_was_not_asked_for_is_null_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    document = result(["--only", "speed"], capsys)

    assert document["ratios"]["engine_speedup"] == 2.6
    assert document["ratios"]["ratio_for_3x"] == 0.4
    assert document["ratios"]["pruned_drift_pt"] is None
    assert document["missing"]["pruned_drift_pt"] == "--only speed"


def test_a_ratio_that_nothing_reaches_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = dict.fromkeys(SPEEDS, 2.0)
    monkeypatch.setattr(compression, "_speed", lambda _bench, imgsz: {"engines_px": imgsz, **slow})

    document = result([], capsys)

    assert document["missing"] == {"ratio_for_3x": "none of the ratios tried reaches 3"}


def test_a_pruned_model_that_loses_less_than_the_small_one_is_below_zero(
    capsys: pytest.CaptureFixture[str],
) -> None:
    document = result(["--only", "accuracy", "--seeds", "2"], capsys)

    assert [row["seed"] for row in document["rows"]] == [0, 1]
    assert document["ratios"]["vs_small_from_scratch_pt"] == -1.0
    assert document["ratios"]["gmac_ratio"] == 0.5


def test_the_small_model_has_the_steps_of_the_baseline_and_its_tuning_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(Bench, "_run", lambda _self, _seed, *settings, **_: asked.append(settings))
    monkeypatch.setattr(Bench, "_narrower", lambda self: self.folder / "narrow.yaml")
    bench = Bench(tmp_path, Plan(steps=30, tuning=50, recipe=("prune.lr_factor=1",)))

    bench.pruned(0, 0.08)
    bench.small(0)

    pruned, small = asked
    assert {"train.steps=30", "prune.steps=50", "prune.lr_factor=1"} <= {*pruned}
    assert "train.steps=80" in small
