"""The forms of lower precision that a plan makes, with real stages and a detector that finds something."""

from dataclasses import replace
from typing import Any

import pytest
from spotter import Bench, make_bench
from toys import Listener

from pipeline.config import Config
from pipeline.forms import Shared, Variant
from pipeline.precision import Lowered, lower
from pipeline.runner import Runner
from pipeline.sections import ModelSection, QuantizeSection
from pipeline.store import Store
from stages.data import Data, Prepared
from stages.data.summary import DataSummary, Duplicates, SplitCount
from stages.export import Exported
from stages.train import Trained
from targets.errors import BudgetError
from targets.profile import Dialect, TargetProfile

CPU = TargetProfile(name="cpu", device="a CPU", runtime="onnxruntime", local=False)
BOARD = replace(
    CPU,
    name="board",
    runtime="tensorrt",
    runtime_version="10.3",
    dialect=Dialect(opset=19, scale_dtype="float16", tensor_cores=False),
    precisions=("fp32", "fp16", "int8"),
)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return make_bench(tmp_path_factory.mktemp("bench"))


@pytest.fixture
def stepped(store: Store) -> Runner:
    return Runner(store, Listener())


def config_of(**quantize: Any) -> Config:
    section = QuantizeSection(**{"method": "minmax", **quantize})
    return Config(model=ModelSection(weights="a.pt"), data=Data(path="data.yaml"), quantize=section)


def split_of(pictures: int) -> SplitCount:
    nothing = dict.fromkeys(("background", "unlabelled", "medium", "large", "tiny"), 0)
    return SplitCount(pictures=pictures, boxes=pictures, small=pictures, **nothing)


def lowered(bench: Bench, step: Runner, config: Config, profile: TargetProfile = CPU) -> Lowered:
    data = Prepared(
        index=bench.index,
        report=bench.index,
        pictures_digest=bench.pictures.digest,
        train_pictures=4,
        val_pictures=12,
        calibration_pictures=4,
        summary=DataSummary(
            classes=(),
            train=split_of(4),
            val=split_of(12),
            duplicates=Duplicates(exact_within=0, exact_across=0, near_within=0, near_across=0),
            calibration_pictures=4,
            imgsz=64,
        ),
    )
    trained = Trained(checkpoint=bench.onnx, epochs=(), best_epoch=0, device="", notes=())
    exported = Exported(onnx=bench.onnx, notes=())
    shared = Shared(data=data, pictures=bench.pictures, trained=trained, exported=exported, forms=())
    onnx = Variant(form="export", precision="fp32", runtime="onnxruntime", model=bench.onnx)
    return lower(config, profile, shared, onnx, step=step, host="h")


def test_without_a_budget_all_that_can_be_is_int8_and_nothing_is_evaluated(
    bench: Bench, stepped: Runner
) -> None:
    made = lowered(bench, stepped, config_of())

    assert [(one.form, one.precision) for one in made.variants] == [("quantize", "int8")]
    assert [one.title for one in stepped.done] == ["quantize calibration", "quantize int8"]
    assert made.search is None
    assert made.quantized is not None
    assert [one.node for one in made.quantized.left_out] == ["logits"]


def test_with_a_budget_the_form_that_the_search_chose_goes_on(bench: Bench, stepped: Runner) -> None:
    made = lowered(bench, stepped, config_of(drift_budget_pt=1.0))

    assert made.search is not None
    assert made.quantized is not None
    assert [one.left_in_float for one in made.search.trials if one.chosen] == [("pick",)]
    assert {one.node for one in made.quantized.left_out} == {"logits", "pick"}
    assert made.variants[-1].model == made.quantized.onnx
    titles = [one.title for one in stepped.done]
    assert titles[:3] == ["quantize calibration", "verify onnx fp32", "quantize trial 1/15"]
    assert titles.count("quantize ranking") == 1


def test_a_budget_that_cannot_be_met_ends_the_target(bench: Bench, stepped: Runner) -> None:
    with pytest.raises(BudgetError, match="drift_budget_pt: 1"):
        lowered(bench, stepped, config_of(drift_budget_pt=1.0, exclude=("head", "same", "mean")))


def test_a_target_with_fp16_gets_that_form_too_and_the_search_knows_its_dialect(
    bench: Bench, stepped: Runner
) -> None:
    made = lowered(bench, stepped, config_of(drift_budget_pt=1.0), BOARD)

    assert [one.precision for one in made.variants] == ["fp16", "int8"]
    assert made.search is not None
    assert [one.left_in_float for one in made.search.trials if one.chosen] == [("pick",)]


def test_targets_of_one_dialect_share_the_trials(bench: Bench, stepped: Runner) -> None:
    first = lowered(bench, stepped, config_of(drift_budget_pt=1.0))
    count = len(stepped.done)

    again = lowered(
        bench, stepped, config_of(drift_budget_pt=1.0), replace(CPU, name="other", device="another")
    )

    assert all(one.cached for one in stepped.done[count:])
    assert again.search == first.search
