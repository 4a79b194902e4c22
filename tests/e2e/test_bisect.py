"""`pipeline bisect` on a stored run: the whole graph in INT8 departs where decoding begins."""

from pathlib import Path

import pytest
from whole_runs import SMALL, Outcome, outcome, run, start

pytestmark = pytest.mark.slow


def bisect(project: Path, *args: str) -> Outcome:
    return outcome(start(project, "bisect", *args, "--json"))


def test_no_layer_of_a_healthy_run_departs(project: Path) -> None:
    healthy = Path(run(project, SMALL).document["run_dir"]).name

    found = bisect(project, healthy, "--form", "export-fp32")

    assert found.code == 0
    assert found.document["first"] is None
    assert len(found.document["layers"]) > 50
    assert "no layer departs" in found.said


def test_the_first_layer_that_departs_is_named_and_a_second_look_is_cached(project: Path) -> None:
    whole = run(project, {**SMALL, "quantize.exclude": "[]", "build.precision": "int8"}).document["run_dir"]

    found = bisect(project, Path(whole).name)
    again = bisect(project, Path(whole).name, "--form", "onnx int8")

    assert (found.code, again.code) == (3, 3)
    assert found.document["form"] == "quantize-int8"
    assert found.document["first"] == "scores"  # one scale for them and for boxes in pixels
    assert f"departs at {found.document['first']}" in found.said
    assert again.document == found.document
    assert "done in" not in again.said
    assert found.document["layers"][-1]["point"] == "scores"
