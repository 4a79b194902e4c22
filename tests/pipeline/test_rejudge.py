"""Judging a stored report again: other limits, an aged measurement, and reports that are not whole."""

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from pipeline.ladder import Failure, RunReport
from pipeline.rejudge import Rules, load_rules, rejudge
from pipeline.report import load_report
from pipeline.report.load import parse_report
from stages.evaluation.scores import ThresholdShift
from targets.errors import ConfigError, EdgeboundError, UsageError
from tests.pipeline.commands import invoke
from tests.pipeline.sample_report import AT, sample_ladder, sample_run, sample_target

MEASURED = datetime.fromisoformat(AT)
SOON = MEASURED + timedelta(minutes=10)


def whole_run() -> RunReport:
    """Give a run whose report says what its target can afford."""
    target = sample_target()
    return sample_run(cpu=replace(target, profile={**target.profile, "budgets": {}}))


def judged(*settings: str, run: RunReport | None = None, now: datetime = SOON) -> RunReport:
    run = run or whole_run()
    return rejudge(run, load_rules(run, None, settings, folder=Path()), now=now)


def test_the_same_limits_give_the_same_verdict() -> None:
    run = whole_run()

    assert (judged(run=run).verdict, judged(run=run).reasons) == (run.verdict, run.reasons)
    assert judged(run=run).targets["cpu"].engine == run.targets["cpu"].engine


def test_another_limit_gives_another_verdict() -> None:
    again = judged("gate.drift_pt=0.1", "build.precision=int8")

    assert again.verdict == "refuse"
    assert again.targets["cpu"].engine is None
    assert again.reasons[0].startswith("cpu: openvino int8: drift 0.59 pt")


def test_another_candidate_that_would_ship_is_named_and_was_not_handed_out() -> None:
    target = judged("gate.int8_min_speedup=5").targets["cpu"]

    assert (target.verdict, target.ships, target.engine) == ("pass", "openvino-fp32", None)


def test_a_limit_of_one_target_holds_for_that_alone() -> None:
    run = whole_run()
    both = replace(run, targets={"cpu": run.targets["cpu"], "cpu-ort": run.targets["cpu"]})

    again = judged("gate.targets={cpu-ort: {p99_ms: 1.0}}", run=both)

    assert {name: target.verdict for name, target in again.targets.items()} == {
        "cpu": "pass", "cpu-ort": "refuse"
    }  # fmt: skip


def test_a_budget_in_the_gate_takes_the_place_of_the_profiles() -> None:
    assert judged("gate.p99_ms=1").verdict == "refuse"


def test_a_latency_grows_old() -> None:
    assert judged(now=MEASURED + timedelta(hours=30)).verdict == "inconclusive"
    assert judged("verify.max_age_h=48", now=MEASURED + timedelta(hours=30)).verdict == "pass"


@pytest.mark.parametrize(
    ("setting", "error"),
    [
        ("train.epochs=3", UsageError),
        ("gate.drift=3", ConfigError),
        ("gate.drift_pt=lots", ConfigError),
        ("gate.targets={nonesuch: {drift_pt: 1.0}}", UsageError),
        ("gate.targets={cpu: {drift: 1.0}}", ConfigError),
        ("gate.targets={cpu: {drift_pt: -1.0}}", ConfigError),
    ],
)
def test_a_setting_that_is_none_is_refused(setting: str, error: type[EdgeboundError]) -> None:
    with pytest.raises(error):
        judged(setting)


def test_a_failed_run_stays_failed() -> None:
    run = replace(whole_run(), error=Failure(what="w", hint="h", code=1), verdict="error")

    assert judged(run=run).verdict == "error"


def test_a_pass_without_a_ladder_is_none() -> None:
    run = whole_run()
    bare = replace(run, targets={"cpu": replace(run.targets["cpu"], ladder=())})

    assert judged(run=bare).verdict == "inconclusive"


def test_a_report_that_does_not_say_the_budget_or_the_limits_is_an_error() -> None:
    run = whole_run()
    no_budget = replace(run, targets={"cpu": replace(run.targets["cpu"], profile={})})

    with pytest.raises(EdgeboundError, match="what cpu can afford"):
        judged(run=no_budget)
    with pytest.raises(UsageError, match="does not say its limits"):
        judged(run=replace(run, settings={}))


def test_a_report_of_version_1_is_read_and_what_it_lacks_is_open() -> None:
    document = json.loads(whole_run().to_json())
    new = ("sizes", "threshold", "deployed", "true_scores", "changes", "curves", "drift_spread_pt")
    for rung in document["targets"]["cpu"]["ladder"]:
        for name in new:
            del rung[name]
    document["schema"] = 1

    again = judged(run=parse_report(json.dumps(document)))

    assert again.verdict == "inconclusive"
    assert any("not all sizes of boxes were compared" in reason for reason in again.reasons)


# ------------------------------------------------------------------------------------ the command


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    now = datetime.now(timezone.utc).isoformat()
    run = whole_run()
    fresh = tuple(replace(rung, measured_at=now) for rung in run.targets["cpu"].ladder)
    run = replace(run, targets={"cpu": replace(run.targets["cpu"], ladder=fresh)})
    (tmp_path / "report.json").write_text(run.to_json())
    return tmp_path / "report.json"


def test_gate_exits_as_run_does_and_prints_the_judged_report(stored: Path) -> None:
    before = stored.read_bytes()

    passed, refused = invoke("gate", stored, "--json"), invoke("gate", stored, "--set", "gate.p99_ms=1")

    assert (passed.code, passed.document["verdict"]) == (0, "pass")
    assert refused.code == 3
    assert stored.read_bytes() == before


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda text: text[: len(text) // 2], 1),
        (lambda text: "", 1),
        (lambda text: "[]", 1),
        (lambda text: text.replace('"schema": 2', '"schema": 3'), 1),
        (lambda text: text.replace('"verdict": "pass"', '"verdict": "fine"'), 1),
        (lambda text: text.replace('"drift_pt": 0.59', '"drift_pt": null'), 3),
        (lambda text: text.replace('"drift_pt": 0.59', '"drift_pt": "0.1"'), 1),
    ],
    ids=["truncated", "empty", "a list", "newer", "unknown verdict", "no drift", "drift is text"],
)
def test_a_report_that_is_not_whole_never_passes(stored: Path, damage, code: int) -> None:
    text = stored.read_text()
    stored.write_text(damage(text))

    outcome = invoke("gate", stored, "--set", "build.precision=int8")

    assert damage(text) != text
    assert outcome.code == code


def test_a_report_is_read_back_as_it_was(stored: Path) -> None:
    assert load_report(stored.parent).to_json() == stored.read_text()
    assert Rules().gate.of("cpu") == Rules().gate.of("orin")


# ------------------------------------------------------------------------------- what is taken away

LENIENT = {
    "onnx_drift_pt": 100, "int8_drift_pt": 100, "drift_pt": 100, "class_ap50_loss_pt": 100,
    "size_loss_pt": 100, "f1_threshold_shift": 1, "score_distance": 1, "recall_loss_pt": 100,
    "precision_loss_pt": 100, "lost_detections_pt": 100, "int8_min_speedup": 0.01,
}  # fmt: skip
REFUSING = {
    "drift_pt": 1, "int8_drift_pt": 1, "class_ap50_loss_pt": 1, "size_loss_pt": 1, "f1_threshold_shift": 0.01,
    "score_distance": 0.01, "recall_loss_pt": 1, "precision_loss_pt": 1, "lost_detections_pt": 1,
    "memory_mib": 100, "p99_ms": 0.01, "int8_min_speedup": 50,
}  # fmt: skip


def lossy_run() -> RunReport:
    """Give a run whose INT8 is worse than its baseline in everything that the gate asks about."""
    target = sample_target(
        *sample_ladder(
            loss_pt=3.0,
            step_pt=3.0,
            threshold=ThresholdShift(baseline=0.41, candidate=0.36, shift=-0.05, interval=(-0.06, -0.04)),
            memory_mib=600.0,
            startup_ms=90.0,
        )
    )
    return sample_run(cpu=replace(target, profile={**target.profile, "budgets": {}}))


def shortened(value: Any) -> Any:
    """Give a document whose long lists, as the samples of a latency, have two items."""
    if isinstance(value, dict):
        return {key: shortened(item) for key, item in value.items() if key not in {"checks", "curves"}}
    if isinstance(value, list):
        return [shortened(item) for item in (value[:2] if len(value) > 6 else value)]
    return value


def numbers(value: object, path: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    """Give the place of each number."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from numbers(item, (*path, key))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from numbers(item, (*path, place))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield path


def without(document: Any, path: tuple[object, ...], *, key_too: bool) -> str:
    """Give the document as JSON without one number: null in its place, or not even its name."""
    whole = copy.deepcopy(document)
    place = whole
    for step in path[:-1]:
        place = place[step]
    if key_too and isinstance(place, dict):
        del place[path[-1]]
    else:
        place[path[-1]] = None
    return json.dumps(whole)


def rules(run: RunReport, **limits: float) -> Rules:
    settings = (f"gate.{name}={value}" for name, value in {**LENIENT, **limits}.items())
    return load_rules(run, None, ("build.precision=int8", *settings), folder=Path())


@pytest.mark.slow  # 150 reports are read for each
@pytest.mark.parametrize("key_too", [False, True], ids=["null", "no key"])
def test_a_refused_candidate_gains_nothing_by_the_removal_of_any_number(key_too: bool) -> None:
    document = shortened(json.loads(lossy_run().to_json()))
    run = parse_report(json.dumps(document))
    refusing = {limit: rules(run, **{limit: value}) for limit, value in REFUSING.items()}
    ladder = document["targets"]["cpu"]["ladder"]
    (place,) = (place for place, rung in enumerate(ladder) if rung["id"] == "openvino-int8")
    paths = list(numbers(ladder[place], ("targets", "cpu", "ladder", place)))

    assert rejudge(run, rules(run), now=SOON).verdict == "pass"
    assert {rejudge(run, one, now=SOON).verdict for one in refusing.values()} == {"refuse"}
    assert len(paths) > 100
    for path in paths:
        try:
            less = parse_report(without(document, path, key_too=key_too))
        except EdgeboundError:
            continue
        better = {name for name, one in refusing.items() if rejudge(less, one, now=SOON).verdict != "refuse"}
        assert not better, path
