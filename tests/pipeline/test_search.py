"""The search with real stages: a small detector with one block that INT8 ruins."""

import hashlib
import math
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser
from toys import Listener

from pipeline.preview import DependsOnError, Pending, Preview
from pipeline.runner import Runner
from pipeline.search import Task, search
from pipeline.store import Store
from stages.artifact import Artifact
from stages.dataset import Dataset, Picture, save_dataset
from stages.quantize import Quantize, QuantizeInputs
from stages.quantize.calibration import Calibrate, CalibrateInputs
from stages.quantize.rank import Rank
from stages.verify import Compare, Evaluate, EvaluateInputs, Measure
from targets.errors import BudgetError
from targets.model import InputSpec, ModelSpec
from targets.profile import Dialect, Rates, TargetProfile

SIDE, CELL = 64, 8
CELLS = SIDE // CELL
HERE = TargetProfile(name="here", device="this machine", runtime="onnxruntime")
AWAY = replace(HERE, local=False)

# Finds bright squares on a grid. `mean` has the brightness of each cell, and a thousand times that in another
# channel: on one scale with it, in 256 steps, the brightness itself is lost to `pick`. `same` is harmless.
SPOTTER = f"""
    <ir_version: 8, opset_import: ["": 17]>
    spotter (float[1, 3, {SIDE}, {SIDE}] images) => (float[1, 5, {CELLS * CELLS}] output0) {{
        same = Conv (images, w_same)
        mean = Conv <strides = [{CELL}, {CELL}]> (same, w_mean)
        pick = Conv (mean, w_pick)
        logits = Conv (pick, w_logits, b_logits)
        scores = Sigmoid (logits)
        row = Reshape (scores, row_shape)
        output0 = Concat <axis = 1> (boxes, row)
    }}
"""


def spotter() -> onnx.ModelProto:
    model = parser.parse_model(SPOTTER)
    x, y = np.meshgrid(*[np.arange(CELLS) * CELL + CELL / 2] * 2)
    boxes = np.stack([x.ravel(), y.ravel(), np.full(x.size, CELL), np.full(x.size, CELL)])[None]
    mean = np.full((2, 3, CELL, CELL), 1 / (3 * CELL * CELL))
    mean[1] *= 1000
    arrays = {
        "w_same": np.eye(3).reshape(3, 3, 1, 1), "w_mean": mean,
        "w_pick": np.array([1, 0]).reshape(1, 2, 1, 1), "w_logits": np.full((1, 1, 1, 1), 40),
        "b_logits": np.array([-20]), "boxes": boxes,
    }  # fmt: skip
    for name, values in arrays.items():
        model.graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), name))
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 1, CELLS * CELLS]), "row_shape"))
    for node in model.graph.node:
        node.name = node.output[0]
    onnx.checker.check_model(model)
    return model


@dataclass(frozen=True)
class Bench:
    """An exported model with the data that it is judged by."""

    onnx: Artifact
    index: Artifact
    pictures: Artifact


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("bench")
    for name in ("onnx", "index", "pictures"):
        (folder / name).mkdir()
    onnx.save(spotter(), folder / "onnx" / "model.onnx")
    ModelSpec(family="spotter", class_names=("spot",), input=InputSpec(SIDE, SIDE)).save(folder / "onnx")
    drawn = tuple(_draw(folder / "pictures", number) for number in range(16))
    save_dataset(
        Dataset(class_names=("spot",), train=drawn[:4], val=drawn[4:], calibration=drawn[:4]),
        folder / "index",
    )
    return Bench(*(Artifact.of(folder / name) for name in ("onnx", "index", "pictures")))


def _draw(folder: Path, number: int) -> Picture:
    """Draw a bright cell; each picture has another."""
    column, row = (3 * number) % CELLS, (5 * number + number // CELLS) % CELLS
    pixels = np.full((SIDE, SIDE, 3), 20 + number, np.uint8)
    pixels[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = 240
    path = folder / f"{number}.png"
    cv2.imwrite(str(path), pixels)
    box = [0, (column + 0.5) / CELLS, (row + 0.5) / CELLS, 1 / CELLS, 1 / CELLS]
    return Picture(
        file=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        width=SIDE,
        height=SIDE,
        boxes=np.array([box]),
        crowd=np.zeros(1, np.bool_),
    )


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
    assert "data.calibration" in caught.value.hint


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
