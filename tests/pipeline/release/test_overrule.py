"""What may be released: what the gate lets pass now, and what somebody answers for by name."""

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from pipeline.board import Board
from pipeline.ladder import Failure, RunReport
from pipeline.rejudge import Rules, load_rules, rejudge
from pipeline.release.overrule import Cleared, Held, clear, read_overrides
from pipeline.report.load import load_report
from targets.errors import BudgetError, EdgeboundError, UsageError
from targets.release.facts import Override
from tests.pipeline.release.stored_run import stored_run

LOST = {"loss_pt": 2.9, "step_pt": 0.1}
"""INT8 that lost more than it may."""


def judged(folder: Path, *settings: str) -> tuple[RunReport, Rules]:
    report = load_report(folder)
    rules = load_rules(report, None, settings, folder=folder)
    return rejudge(report, rules, now=datetime.now(timezone.utc)), rules


def cleared(folder: Path, *overrides: str, settings: tuple[str, ...] = ()) -> Cleared | Held:
    """Give what becomes of the only target."""
    report, rules = judged(folder, *settings)
    found, held = clear(report, rules, read_overrides(overrides))
    (one,) = (*found, *held)
    return one


def test_what_the_gate_lets_pass_is_released_without_a_word(tmp_path: Path) -> None:
    found = cleared(stored_run(tmp_path))

    assert isinstance(found, Cleared)
    assert (found.rung.id, found.overruled) == ("openvino-int8", ())


def test_the_verdict_that_is_written_down_is_not_believed(tmp_path: Path) -> None:
    folder = stored_run(tmp_path, int8=LOST, wish="int8")
    report = load_report(folder)
    forged = replace(report.targets["cpu"], verdict="pass", ships="openvino-int8", reasons=())
    (folder / "report.json").write_text(replace(report, verdict="pass", targets={"cpu": forged}).to_json())

    found = cleared(folder)

    assert isinstance(found, Held)
    assert found.verdict == "refuse"


@pytest.mark.parametrize("where", ["data", "settings"])
def test_a_demo_is_never_released_whatever_is_overruled(tmp_path: Path, where: str) -> None:
    demo = {"data": "demo"} if where == "data" else {"settings": {"gate": {}, "demo": {"train": 2}}}
    folder = stored_run(tmp_path, change=lambda report: replace(report, **demo))

    with pytest.raises(BudgetError, match="is a demo"):
        cleared(folder, "demo=it is fine", "data=it is fine")


def test_what_a_stand_in_measured_is_never_released_even_if_the_limits_accept_it(tmp_path: Path) -> None:
    folder = stored_run(tmp_path, simulated=True)

    found = cleared(folder, "device=it is fine", settings=("gate.accept_simulated=true",))

    assert isinstance(found, Held)
    assert (found.verdict, found.rules) == ("inconclusive", ())
    assert "no override releases those" in found.reasons[0]


def test_a_simulated_board_is_noticed_where_the_engines_do_not_say_so(tmp_path: Path) -> None:
    board = Board(simulated=True, facts={}, doubts=(), engines=())
    folder = stored_run(
        tmp_path,
        change=lambda report: replace(
            report, targets={name: replace(one, board=board) for name, one in report.targets.items()}
        ),
    )

    assert isinstance(cleared(folder, "device=it is fine"), Held)


def test_a_run_that_failed_is_not_released(tmp_path: Path) -> None:
    failure = Failure(what="The disk is full.", hint="", code=1)
    folder = stored_run(tmp_path, change=lambda report: replace(report, error=failure))

    with pytest.raises(EdgeboundError, match="failed: The disk is full"):
        cleared(folder)


def test_every_rule_that_holds_an_engine_back_has_to_be_named(tmp_path: Path) -> None:
    folder = stored_run(tmp_path, int8={**LOST, "loss_pt": 7.0}, wish="int8")

    alone = cleared(folder, "drift=the plant knows")

    assert isinstance(alone, Held)
    assert {"drift", "AP50 loss of hole", "AP50 loss of scratch"} <= set(alone.rules)
    whole = cleared(folder, *(f"{rule}=the plant knows" for rule in alone.rules))
    assert isinstance(whole, Cleared)
    assert whole.rung.precision == "int8"
    assert {one.check.measure for one in whole.overruled} == set(alone.rules)


def test_a_kind_of_rule_may_be_named_for_all_classes(tmp_path: Path) -> None:
    folder = stored_run(tmp_path, int8={**LOST, "loss_pt": 7.0}, wish="int8")
    rules = cleared(folder)
    assert isinstance(rules, Held)
    classes = [rule for rule in rules.rules if rule.startswith("AP50 loss of ")]
    others = [rule for rule in rules.rules if rule not in classes]

    found = cleared(folder, "ap50 LOSS=known", *(f"{rule}=known" for rule in others))

    assert len(classes) == 2
    assert isinstance(found, Cleared)
    assert Override("ap50 LOSS", "known") in found.overrides


def test_drift_does_not_stand_for_drift_against_an_earlier_release(tmp_path: Path) -> None:
    folder = stored_run(tmp_path, change=lambda report: replace(report, baseline="20250101-000000-aaaa"))

    found = cleared(folder)

    assert isinstance(found, Held)
    assert found.rules == ("drift against 20250101-000000-aaaa",)
    with pytest.raises(UsageError, match="overrules nothing"):
        cleared(folder, "drift=known")


def test_a_stale_latency_may_be_answered_for(tmp_path: Path) -> None:
    folder = stored_run(tmp_path, age=timedelta(days=9))

    held = cleared(folder)
    found = cleared(folder, "age of the latency=nothing changed since")

    assert isinstance(held, Held)
    assert (held.verdict, held.rules) == ("inconclusive", ("age of the latency",))
    assert isinstance(found, Cleared)
    assert found.rung.id == "openvino-int8"


def test_an_engine_that_was_not_built_cannot_be_answered_for(tmp_path: Path) -> None:
    def unbuilt(report: RunReport) -> RunReport:
        target = report.targets["cpu"]
        rungs = tuple(
            replace(one, verdict="error", reasons=("the builder was killed",), checks=())
            if one.candidate
            else one
            for one in target.ladder
        )
        return replace(report, targets={"cpu": replace(target, ladder=rungs)})

    found = cleared(stored_run(tmp_path, change=unbuilt))

    assert isinstance(found, Held)
    assert found.rules == ()
    assert found.verdict == "error"


def test_an_override_that_overrules_nothing_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        cleared(stored_run(tmp_path), "dirft=typing is hard")

    assert "dirft overrules nothing" in error.value.what


@pytest.mark.parametrize("text", ["drift", "drift=", "=why", " = ", "drift=a\nb", "dr\x1bift=why", ""])
def test_an_override_says_which_rule_and_why(text: str) -> None:
    with pytest.raises(UsageError):
        read_overrides([text])


def test_one_rule_is_not_overruled_for_two_reasons() -> None:
    assert read_overrides(["drift=a", " Drift = b"][:1] * 2) == (Override("drift", "a"),)
    with pytest.raises(UsageError, match="two reasons"):
        read_overrides(["drift=a", "Drift=b"])


def test_a_slow_int8_does_not_pass_a_faster_engine_by_being_answered_for(tmp_path: Path) -> None:
    folder = stored_run(tmp_path, age=timedelta(days=9))
    report = load_report(folder)
    target = report.targets["cpu"]
    fast = next(one for one in target.ladder if one.id == "openvino-fp32")
    slow = tuple(
        replace(one, latency_ms=fast.latency_ms) if one.id == "openvino-int8" else one
        for one in target.ladder
    )
    (folder / "report.json").write_text(
        replace(report, targets={"cpu": replace(target, ladder=slow)}).to_json()
    )

    found = cleared(folder, "age of the latency=known")

    assert isinstance(found, Cleared)
    assert found.rung.id == "openvino-fp32"
