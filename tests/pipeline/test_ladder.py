"""The `--json` document: its shape, and the way back from it."""

import json
import math
from pathlib import Path

import pytest
from sample_report import open_run, refused_run, sample_run, sample_rung, sample_target

from pipeline.ladder import Failure, RunReport
from pipeline.report import load_report, parse_report
from targets.errors import EdgeboundError

# design.md §5, key by key
RUN_KEYS = ["schema", "run", "verdict", "reasons", "error", "run_dir", "seconds", "data", "targets"]
TARGET_KEYS = ["verdict", "reasons", "engine", "precision", "runtime", "ladder"]
RUNG_KEYS = [
    "id", "parent", "form", "precision", "runtime", "candidate", "verdict", "reasons", "map50_95", "map50",
    "drift_pt", "step_drift_pt", "drift_ci_pt", "latency_ms", "size_bytes", "host", "simulated", "cached",
]  # fmt: skip


def strictly(text: str) -> dict:
    """Parse as parsers outside Python do: no NaN, no Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def changed(**changes: object) -> str:
    """Give a report's text in which keys of the first rung are changed; None takes one away."""
    document = json.loads(sample_run().to_json())
    rung = document["targets"]["cpu"]["ladder"][0]
    for key, value in changes.items():
        if value is None:
            del rung[key]
        else:
            rung[key] = value
    return json.dumps(document)


def test_the_document_has_the_keys_of_the_design_in_their_order() -> None:
    document = strictly(sample_run().to_json())

    target = document["targets"]["cpu"]
    assert list(document)[: len(RUN_KEYS)] == RUN_KEYS
    assert list(target)[: len(TARGET_KEYS)] == TARGET_KEYS
    assert list(target["ladder"][0])[: len(RUNG_KEYS)] == RUNG_KEYS
    assert list(target["ladder"][4]["latency_ms"])[:4] == ["p50", "p90", "p99", "n"]
    assert (document["schema"], document["error"]) == (2, None)


def test_the_document_is_one_line() -> None:
    assert "\n" not in sample_run().to_json()


def test_an_error_is_what_hint_and_code() -> None:
    run = RunReport(
        run="r", verdict="error", reasons=(), error=Failure(what="a", hint="b", code=2),
        run_dir="", seconds=0.1, data="", targets={},
    )  # fmt: skip

    assert strictly(run.to_json())["error"] == {"what": "a", "hint": "b", "code": 2}


@pytest.mark.parametrize("make", [sample_run, refused_run, open_run])
def test_a_report_comes_back_as_it_went(make) -> None:
    report = make()

    assert repr(parse_report(report.to_json())) == repr(report)  # repr: NaN differs from itself


def test_a_rung_that_nobody_judged_is_no_pass() -> None:
    rung = sample_rung("x", None, 0.0, 0.0)

    assert (rung.verdict, rung.reasons) == ("inconclusive", ())


def test_a_figure_that_nobody_measured_is_null_and_comes_back_as_nan() -> None:
    unmeasured = sample_rung("x", None, math.nan, math.inf)
    report = sample_run(cpu=sample_target(unmeasured))

    written = strictly(report.to_json())["targets"]["cpu"]["ladder"][0]
    read = parse_report(report.to_json()).targets["cpu"].ladder[0]

    assert (written["drift_pt"], written["step_drift_pt"], written["map50_95"]) == (None, None, None)
    assert all(map(math.isnan, (read.drift_pt, read.step_drift_pt, read.map50_95)))


def test_what_an_older_report_lacks_is_not_measured() -> None:
    rung = parse_report(changed(f1_threshold=None, step_drift_ci_pt=None)).targets["cpu"].ladder[0]

    assert all(map(math.isnan, (rung.f1_threshold, *rung.step_drift_ci_pt)))


def test_a_report_from_before_training_was_described_is_read() -> None:
    document = json.loads(sample_run().to_json())
    del document["training"]

    assert parse_report(json.dumps(document)).training is None


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"simulated": None}, "simulated: Field required"),
        ({"simulated": "no"}, "simulated: Input should be a valid boolean"),
        ({"verdict": "fine"}, "verdict: Input should be"),
        ({"map50_95": "0.9"}, "map50_95: Input should be a valid number"),
    ],
)
def test_a_report_with_a_wrong_entry_is_an_error_that_names_it(changes: dict, problem: str) -> None:
    with pytest.raises(EdgeboundError, match=f"targets.cpu.ladder.0.{problem}"):
        parse_report(changed(**changes))


def test_a_truncated_report_is_an_error_wherever_it_ends() -> None:
    text = sample_run().to_json()

    for end in range(0, len(text), 499):
        with pytest.raises(EdgeboundError, match="cannot be read as a report"):
            parse_report(text[:end])


@pytest.mark.parametrize("version", [3, 0, "1", None, True])
def test_a_report_of_another_version_is_an_error(version: object) -> None:
    text = json.dumps({**json.loads(sample_run().to_json()), "schema": version})

    with pytest.raises(EdgeboundError):
        parse_report(text)


@pytest.mark.parametrize("text", ["[]", "null", '"pass"', "{}", "\xff"])
def test_what_is_no_report_is_an_error(text: str) -> None:
    with pytest.raises(EdgeboundError, match="cannot be read as a report"):
        parse_report(text.encode("latin-1"))


def test_a_report_is_found_by_its_file_or_its_folder(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(sample_run().to_json())

    assert load_report(tmp_path) == load_report(tmp_path / "report.json")


def test_a_missing_report_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EdgeboundError, match="No such file"):
        load_report(tmp_path)
