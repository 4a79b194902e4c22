"""The same on hardware: a small detector in each precision on the GPU and the TensorRT of this machine.

`pytest -m gpu tests/targets/trt`. Nobody has run these yet: where one fails, what it says is news.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

import targets.trt.build as builder
from stages.quantize.dialect import to_dialect
from stages.quantize.half.convert import to_half
from stages.quantize.half.decoding import decoding_of
from stages.quantize.insert import insert_qdq
from stages.quantize.placement import place
from targets.cuda_access import find_cuda
from targets.errors import EvidenceError, ModelError, UnsupportedError
from targets.kit import BoardWork
from targets.profile import Dialect, TargetProfile
from targets.receipt import BuildFacts
from targets.trt.library import features, simulated, version
from targets.trt.run import open_plan
from targets.trt.timings import time_engine
from tests.stages.quantize.conftest import (
    CONSTANTS,
    DETECTOR,
    SIDE,
    WEIGHTS,
    build,  # noqa: F401 — a fixture
    grids_for,  # noqa: F401 — likewise
)
from tests.trt_double.boards import reference

pytestmark = pytest.mark.gpu

HERE = TargetProfile(name="here", device="this machine", runtime="tensorrt")
WORK = BoardWork(runs=300, seconds=5, warmup_runs=50, warmup_s=0.5)
# Wide enough for INT8 on Tensor Cores to be worth the while.
WIDE = {
    **WEIGHTS,
    "w0": (32, 3, 3, 3),
    "b0": (32,),
    "w1": (32, 32, 3, 3),
    "w_box": (16, 32, 1, 1),
    "w_cls": (2, 32, 1, 1),
}
IMAGES = np.random.default_rng(2).random((1, 3, SIDE, SIDE), np.float32)


@pytest.fixture(autouse=True)
def hardware() -> None:
    """Skip where there is no TensorRT or no GPU."""
    try:
        find_cuda().gpu()
        if simulated():
            pytest.skip("the TensorRT here is a double")
    except EvidenceError as exc:
        pytest.skip(f"{exc.what} {exc.hint}")


@pytest.fixture(params=["fp32", "fp16", "int8"])
def model(request: pytest.FixtureRequest, build: Callable, grids_for: Callable) -> onnx.ModelProto:  # noqa: F811
    made = build(DETECTOR, WIDE, CONSTANTS, output="float[1, 6, 64] output0")
    if request.param == "fp16":
        return to_half(made, decoding_of(made))
    if request.param == "int8":
        placement = place(made, exclude=("head",))
        made = insert_qdq(made, placement, grids_for(made, placement, IMAGES))
        old = version().startswith("8.")
        return to_dialect(made, Dialect() if old else Dialect(opset=19, scale_dtype="float16"))
    return made


@pytest.fixture
def told(model: onnx.ModelProto, tmp_path: Path) -> BuildFacts:
    return built(model, tmp_path, WORK)


def built(model: onnx.ModelProto, folder: Path, work: BoardWork) -> BuildFacts:
    onnx.save(model, folder / "model.onnx")
    cache = folder / "cache"
    return builder.build(
        folder / "model.onnx", HERE, folder, work, cache=cache, logs=folder, progress=lambda *_: None
    )


def test_an_engine_computes_what_its_graph_says(
    told: BuildFacts, model: onnx.ModelProto, tmp_path: Path
) -> None:
    with open_plan(tmp_path / builder.PLAN_NAME) as session:
        found = session.infer(IMAGES)

    gap = np.abs(found - reference(model, IMAGES))
    assert (
        gap[:, :4].mean() < 0.5
    )  # pixels, of 96; TF32 and FP16 have ten bits, INT8 rounds where these differ
    assert gap[:, 4:].max() < 0.05  # score


def test_a_graph_computes_what_the_calls_compute_one_by_one(told: BuildFacts, tmp_path: Path) -> None:
    with open_plan(tmp_path / builder.PLAN_NAME) as session:
        assert session.graph
        launched, queued = session.call(IMAGES, graph=True), session.call(IMAGES, graph=False)

    np.testing.assert_array_equal(launched, queued)


def test_what_is_int8_in_the_graph_is_int8_in_the_engine(
    told: BuildFacts, request: pytest.FixtureRequest
) -> None:
    is_int8 = request.node.callspec.params["model"] == "int8"

    assert (told.layers.get("INT8", 0) > 0) == is_int8
    assert told.fell_out == ()


def test_timings_fit_together(told: BuildFacts, tmp_path: Path) -> None:
    timings = time_engine(tmp_path / builder.PLAN_NAME, [IMAGES], WORK, progress=lambda *_: None)

    device, device_queued, call, throughput = timings
    assert device.latency.p50 <= 1.2 * device_queued.latency.p50
    assert device_queued.latency.p50 <= call.latency.p50
    assert throughput.img_s >= 0.8 * call.img_s
    assert all(one.steady and one.latency.p50 <= one.latency.p99 for one in timings)


def test_several_tries_are_timed_and_the_timing_cache_is_taken_back(
    told: BuildFacts, model: onnx.ModelProto, tmp_path: Path
) -> None:
    (cache,) = (tmp_path / "cache").iterdir()

    again = built(model, tmp_path, WORK)
    tries = built(model, tmp_path, replace(WORK, tries=2))

    assert cache.stat().st_size > 0
    assert not [line for line in again.warnings if "cache" in line.lower()]
    assert len(tries.p50_ms) == 2
    assert min(tries.p50_ms) > 0


def test_a_plan_that_is_cut_short_is_refused_and_the_process_lives(told: BuildFacts, tmp_path: Path) -> None:
    plan = tmp_path / builder.PLAN_NAME
    plan.write_bytes(plan.read_bytes()[:4096])

    with pytest.raises(ModelError, match="cannot load the engine"), open_plan(plan):
        pass


def test_the_parser_names_the_node_that_it_does_not_take(model: onnx.ModelProto, tmp_path: Path) -> None:
    spoilt = onnx.ModelProto()
    spoilt.CopyFrom(model)
    node = next(one for one in spoilt.graph.node if one.op_type == "Sigmoid")
    node.op_type = "NoSuchOperator"

    with pytest.raises(UnsupportedError, match=f"{node.name}.*NoSuchOperator"):
        built(spoilt, tmp_path, WORK)


def test_the_features_are_those_that_this_version_has() -> None:
    has = features()

    assert has.explicit_batch == version().startswith("8.")
    assert has.monitor != version().startswith("8.")
