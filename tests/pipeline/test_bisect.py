"""Bisect: which forms of a stored run can be looked at, and what is said of those that cannot."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from sample_report import sample_ladder, sample_run, sample_rung, sample_target
from toys import Listener

from pipeline.bisect import LIMITS_DB, Bisected, Question, bisect
from pipeline.ladder import RunReport
from pipeline.report.load import FILE_NAME
from pipeline.runner import Runner
from pipeline.store import Store
from stages.evaluation.parity import PointParity
from targets.errors import EdgeboundError, EvidenceError, UsageError


def ask(folder: Path, report: RunReport, **question: object) -> Bisected:
    (folder / FILE_NAME).write_text(report.to_json())
    store = Store(folder / ".edgebound")
    store.prepare()
    return bisect(folder, Question(**question), Runner(store, Listener()))


def test_a_form_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no form 'int8'") as raised:
        ask(tmp_path, sample_run(), form="int8", target="cpu")

    assert "export-fp32, quantize-int8, openvino-fp32, openvino-int8" in raised.value.hint


def test_the_baseline_is_compared_with_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="pytorch fp32 cannot be bisected"):
        ask(tmp_path, sample_run(), form="train-fp32", target="cpu")


def test_a_pruned_form_is_another_network_on_purpose(tmp_path: Path) -> None:
    baseline, export, *_ = sample_ladder()
    pruned = sample_rung("prune-fp32", baseline.id, 0.3, 0.3, form="prune", runtime="pytorch")
    target = sample_target(baseline, pruned, replace(export, parent=pruned.id))

    with pytest.raises(UsageError, match="another network than the form before it, on purpose"):
        ask(tmp_path, replace(sample_run(), targets={"cpu": target}), form="prune-fp32")


def test_a_target_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    report = replace(sample_run(), targets={"cpu": sample_target(), "cpu-ort": sample_target()})

    with pytest.raises(UsageError, match="no target 'orin'") as raised:
        ask(tmp_path, report, target="orin")
    with pytest.raises(UsageError, match="more than one target"):
        ask(tmp_path, report)

    assert "cpu, cpu-ort" in raised.value.hint


def test_an_engine_of_a_board_is_evidence_that_cannot_be_had_here(tmp_path: Path) -> None:
    target = replace(sample_target(), profile={"device": "Orin", "local": False})

    with pytest.raises(EvidenceError, match="it runs on its board only"):
        ask(tmp_path, replace(sample_run(), targets={"orin": target}), form="openvino int8")


def test_a_form_that_the_store_has_no_more_is_missing_evidence(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match=r"is not in .* any more"):
        ask(tmp_path, replace(sample_run(), targets={"cpu": sample_target()}))


def test_a_truncated_report_is_an_error(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(sample_run().to_json()[:-100])

    with pytest.raises(EdgeboundError, match="cannot be read as a report"):
        bisect(tmp_path, Question(), Runner(Store(tmp_path), Listener()))


def test_the_document_is_strict_json_even_where_a_layer_is_not_finite() -> None:
    broken = PointParity(point="x", cosine=math.nan, max_abs=math.inf, sqnr_db=-200.0)
    found = Bisected(
        form="quantize-int8", parent="export-fp32", label="onnx int8", limit_db=LIMITS_DB["int8"],
        layers=(broken,), first="x", pictures=8,
    )  # fmt: skip

    (layer,) = json.loads(found.to_json())["layers"]

    assert layer == {"point": "x", "cosine": None, "max_abs": None, "sqnr_db": -200.0}
