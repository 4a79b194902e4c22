"""The search with real stages: a small detector with one block that INT8 ruins."""

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from spotter import Bench, make_bench
from toys import Listener

from pipeline.preview import DependsOnError, Pending, Preview
from pipeline.runner import Runner
from pipeline.search import Task, search
from pipeline.store import Store
from stages.quantize import Quantize, QuantizeInputs
from stages.quantize.calibration import Calibrate, CalibrateInputs
from stages.quantize.ranking import Rank
from stages.verify import Compare, Evaluate, EvaluateInputs, Measure
from targets.errors import BudgetError
from targets.profile import Dialect, Rates, TargetProfile

HERE = TargetProfile(name="here", device="this machine", runtime="onnxruntime")
AWAY = replace(HERE, local=False)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return make_bench(tmp_path_factory.mktemp("bench"))


def task_of(bench: Bench, step: Any, *, profile: TargetProfile = AWAY, **changes: object) -> Task:
    """Do what comes before a search."""
    quantize = changes.pop("quantize", Quantize(method="minmax"))
    assert isinstance(quantize, Quantize)
    data = {"index": bench.index, "pictures": bench.pictures}
    statistics = step(Calibrate(), CalibrateInputs(onnx=bench.onnx, **data)).statistics
    given = {"onnx": bench.onnx, "statistics": statistics, "dialect": Dialect(), **data}
    evaluate = Evaluate(runtime="onnxruntime", simulate=True)
    shown = EvaluateInputs(model=bench.onnx, profile=None, host="", **data)
    fields: dict[str, Any] = {
        "quantize": quantize,
        "inputs": QuantizeInputs(**given, runtime=profile.runtime),
        "rank": Rank(quantize=quantize),
        "baseline": step(evaluate, shown).detections,
        "profile": profile,
        "evaluate": evaluate,
        "compare": Compare(resamples=100),
        "measure": Measure(runs=20, warmup=2),
        "max_age": timedelta(hours=1),
        "host": "h",
        "budget_pt": 1.0,
    }
    return Task(**{**fields, **changes})


@pytest.fixture
def stepped(store: Store) -> Runner:
    return Runner(store, Listener())


def test_the_block_that_int8_ruins_stays_in_float_and_nothing_else(bench: Bench, stepped: Runner) -> None:
    found = search(task_of(bench, stepped), stepped)

    first, second = found.record.trials
    assert (first.left_in_float, second.left_in_float) == ((), ("pick",))
    assert first.drift_pt > 50
    assert (second.drift_pt, second.chosen, first.chosen) == (pytest.approx(0, abs=0.5), True, False)
    assert second.drift_ci_pt[0] <= second.drift_pt <= second.drift_ci_pt[1]
    assert found.quantize.exclude == ("head", "pick")
    assert found.quantized == stepped(found.quantize, task_of(bench, stepped).inputs)
    assert stepped.done[-1].cached
    assert found.record.blocks == 3


def test_where_all_of_it_can_be_int8_one_trial_is_enough(bench: Bench, stepped: Runner) -> None:
    found = search(task_of(bench, stepped, budget_pt=100.0, profile=HERE), stepped)

    (trial,) = found.record.trials
    assert (trial.left_in_float, trial.chosen, found.record.blocks) == ((), True, 0)
    assert math.isnan(trial.p50_ms)  # it has no rival to be timed with
    assert "ranking" not in [one.label for one in stepped.done]


def test_what_the_user_excluded_stays_excluded(bench: Bench, stepped: Runner) -> None:
    found = search(
        task_of(bench, stepped, quantize=Quantize(method="minmax", exclude=("head", "same"))), stepped
    )

    assert found.quantize.exclude == ("head", "same", "pick")
    assert found.record.blocks == 2


def test_a_budget_that_cannot_be_met_says_how_close_it_came(bench: Bench, stepped: Runner) -> None:
    only = Quantize(method="minmax", exclude=("head", "same", "mean"))

    with pytest.raises(
        BudgetError, match=r"drift_budget_pt: 1\. The nearest of 1 loses .* pt .* with 0 of 1"
    ) as caught:
        search(task_of(bench, stepped, quantize=only), stepped)

    assert caught.value.code == 3
    assert caught.value.hint.startswith("Allow more, calibrate with more pictures (data.calibration)")


def test_without_the_head_in_float_the_hint_begins_with_that(bench: Bench, stepped: Runner) -> None:
    with pytest.raises(BudgetError) as caught:
        search(
            task_of(bench, stepped, quantize=Quantize(method="minmax", exclude=()), budget_pt=-1.0), stepped
        )

    assert caught.value.hint.startswith("Keep the head in float")


def test_the_blocks_that_were_left_are_named(bench: Bench, stepped: Runner) -> None:
    with pytest.raises(BudgetError, match=r"with 1 of 3 blocks in float \(pick\)"):
        search(task_of(bench, stepped, budget_pt=-1.0), stepped)


def test_each_trial_is_three_steps_with_its_number(bench: Bench, stepped: Runner) -> None:
    search(task_of(bench, stepped), stepped)

    assert [one.title for one in stepped.done if "trial" in one.label] == [
        "quantize trial 1/15", "verify trial 1/15", "verify trial 1/15 against onnx fp32",
        "quantize trial 2/15", "verify trial 2/15", "verify trial 2/15 against onnx fp32",
    ]  # fmt: skip


class Interrupted(Runner):
    """Runs until a step of this label."""

    at = "trial 2/15 against onnx fp32"

    def __call__(self, stage: Any, inputs: Any, **given: Any) -> Any:
        if given.get("label") == self.at:
            raise KeyboardInterrupt
        return super().__call__(stage, inputs, **given)


def test_a_search_that_was_interrupted_goes_on_where_it_was(bench: Bench, store: Store) -> None:
    broken, again = Interrupted(store, Listener()), Runner(store, Listener())
    with pytest.raises(KeyboardInterrupt):
        search(task_of(bench, broken), broken)

    found = search(task_of(bench, again), again)

    trials = [one for one in again.done if one.label.startswith("trial")]
    assert [one.cached for one in trials] == [True, True, True, True, True, False]
    third = Runner(store, Listener())
    assert search(task_of(bench, third), third) == found
    assert all(one.cached for one in third.done)


def test_on_a_target_at_hand_the_best_are_timed_side_by_side_and_one_within_the_budget_wins(
    bench: Bench, stepped: Runner
) -> None:
    found = search(task_of(bench, stepped, profile=HERE), stepped)

    assert all(one.p50_ms > 0 for one in found.record.trials)
    assert [one.left_in_float for one in found.record.trials if one.chosen] == [("pick",)]
    assert [one.title for one in stepped.done[-3:]] == [
        "build onnxruntime trial 2/15", "build onnxruntime trial 1/15", "verify latency of trials",
    ]  # fmt: skip


def test_elsewhere_the_cost_model_ranks_and_says_so(bench: Bench, stepped: Runner) -> None:
    relative = search(task_of(bench, stepped), stepped).record
    board = replace(AWAY, device="a board", rates=Rates(fp16_tflops=1, int8_tops=4))
    absolute = search(task_of(bench, stepped, profile=board), stepped).record

    assert all(math.isnan(one.p50_ms) for one in (*relative.trials, *absolute.trials))
    assert relative.cost_unit == "share of float"
    assert 0.5 < relative.trials[0].cost < relative.trials[1].cost < 1
    assert absolute.cost_unit == "ms"
    assert 0 < absolute.trials[0].cost < absolute.trials[1].cost
    assert "a board" in absolute.cost_model


class TestPreview:
    def test_before_a_trial_it_says_what_it_depends_on_and_lists_what_would_run(
        self, bench: Bench, store: Store, stepped: Runner
    ) -> None:
        task_of(bench, stepped)
        step = Preview(store)

        with pytest.raises(DependsOnError, match=r"depends on verify trial 1/15 against onnx fp32"):
            search(task_of(bench, step), step)

        assert [(one.title, one.state) for one in step.planned[2:]] == [
            ("quantize trial 1/15", "runs"), ("verify trial 1/15", "runs"),
            ("verify trial 1/15 against onnx fp32", "runs"),
        ]  # fmt: skip

    def test_before_the_ranking_too(self, bench: Bench, store: Store) -> None:
        broken, step = Interrupted(store, Listener()), Preview(store)
        broken.at = "ranking"
        with pytest.raises(KeyboardInterrupt):
            search(task_of(bench, broken), broken)

        with pytest.raises(DependsOnError, match="depends on quantize ranking"):
            search(task_of(bench, step), step)

    def test_after_the_search_it_knows_everything(self, bench: Bench, store: Store, stepped: Runner) -> None:
        found = search(task_of(bench, stepped, profile=HERE), stepped)
        step = Preview(store)

        assert search(task_of(bench, step, profile=HERE), step) == found
        assert {one.state for one in step.planned} == {"cached"}
        assert not isinstance(found.quantized, Pending)
