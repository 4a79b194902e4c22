"""Training for INT8 in a whole run, where INT8 by calibration loses more than it may."""

from pathlib import Path

import pytest
from whole_runs import SMALL, run

pytestmark = pytest.mark.slow
# One picture and entropy clip too much, and the gate takes no loss at all.
TAUGHT = {
    **SMALL,
    "quantize.method": "entropy",
    "quantize.calibration": 1,
    "gate.int8_drift_pt": 0.0,
    "quantize.qat.steps": 1,
}


def test_where_calibration_loses_too_much_the_model_is_trained_for_int8(project: Path) -> None:
    result = run(project, TAUGHT)
    ladder = {rung["id"]: rung for rung in result.ladder}

    assert result.code in {0, 3, 4}, result.said
    assert [rung["form"] for rung in result.ladder] == [
        "train",
        "export",
        "qat",
        "quantize",
        "build",
        "build",
    ]
    assert ladder["qat-fp32"]["parent"] == "train-fp32"
    assert ladder["quantize-int8"]["parent"] == "qat-fp32"
    assert ladder["openvino-fp32"]["parent"] == "export-fp32"
    assert ladder["quantize-int8"]["map50"] > 0.2
    assert any(
        note.startswith("Trained for INT8, as calibration alone was not enough: it loses")
        for note in result.document["targets"]["cpu"]["notes"]
    )


def test_within_the_gate_nothing_is_trained_for_int8(project: Path) -> None:
    result = run(project, {**SMALL, "gate.int8_drift_pt": 50.0, "quantize.qat.steps": 1})

    assert "qat" not in [rung["form"] for rung in result.ladder]
