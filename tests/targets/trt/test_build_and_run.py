"""TensorRT from ONNX to latency, on the double of each line of versions, over real ctypes calls."""

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from targets.engine import write_manifest
from targets.errors import EdgeboundError, ModelError, UnsupportedError
from targets.runtimes import find_runtime
from targets.trt.build import PLAN_NAME, build
from targets.trt.library import facts, features, simulated, version
from targets.trt.run import open_plan
from targets.trt.timings import time_engine
from tests.targets.trt.parts import ORIN, WORK, built, model_of, written
from tests.trt_double.boards import FP32, IMAGE, graph
from tests.trt_double.fixtures import LINES, board_here, live_handles, trt_of_each_line

trt = trt_of_each_line


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("line", LINES)
def test_every_version_builds_loads_and_runs_every_precision(
    line: str, precision: str, tmp_path: Path
) -> None:
    with board_here(line):
        told = built(tmp_path, model_of(precision, line))
        with open_plan(tmp_path / PLAN_NAME) as session:
            first, again = session.infer(IMAGE), session.infer(IMAGE)
            graph_launched = session.graph
        left = live_handles()

    assert first.dtype == np.float32
    assert first.shape == (1, 4, 8, 8)
    np.testing.assert_array_equal(first, again)
    assert graph_launched
    assert sum(told.layers.values()) > 0
    assert set(left.values()) == {0}


@pytest.mark.parametrize(
    ("line", "precision", "words", "banned"),
    [
        ("8.5", "int8", ["--fp16", "--int8", "--useCudaGraph"], ["--stronglyTyped"]),
        ("10.3", "fp16", ["--fp16", "--noDataTransfers"], ["--int8", "--stronglyTyped"]),
        ("10.16", "int8", ["--stronglyTyped", "--useSpinWait"], ["--fp16", "--int8"]),
        ("11.4", "int8", ["--onnx=model.onnx"], ["--stronglyTyped", "--fp16", "--int8", "--useCudaGraph"]),
    ],
)
def test_the_equivalent_trtexec_line_fits_the_version(
    line: str, precision: str, words: list[str], banned: list[str], tmp_path: Path
) -> None:
    with board_here(line):
        command = built(tmp_path, model_of(precision, line)).command.split()

    assert set(words) <= set(command)
    assert not set(banned) & set(command)


def test_strong_typing_begins_where_nvidia_calls_it_available() -> None:
    found = {}
    for line in LINES:
        with board_here(line):
            found[line] = features().strongly_typed

    assert found == {"8.5": False, "8.6": False, "10.3": False, "10.13": True, "10.16": True, "11.4": True}


def test_a_stand_in_is_known_as_one_and_facts_are_the_devices(tmp_path: Path) -> None:
    with board_here("10.3", sm="8.9"):
        assert simulated()
        assert version().startswith("10.3")
        assert facts()["sm"] == "8.9"


def test_of_several_tries_the_fastest_is_kept_and_the_spread_is_told(tmp_path: Path) -> None:
    with board_here("10.3"):
        told = built(tmp_path, graph(FP32), replace(WORK, tries=3))

    assert len(told.seconds) == len(told.p50_ms) == 3


def test_all_modes_are_timed_and_say_what_they_are(tmp_path: Path) -> None:
    with board_here("10.3"):
        built(tmp_path, graph(FP32))
        timings = time_engine(tmp_path / PLAN_NAME, [IMAGE], WORK, progress=lambda *_: None)
        left = live_handles()

    assert [(one.mode, one.copies, one.graph, one.streams) for one in timings] == [
        ("device", False, True, 1),
        ("device", False, False, 1),
        ("call", True, False, 1),
        ("throughput", True, True, 2),
    ]
    assert all(one.latency.n >= 20 and one.img_s > 0 for one in timings)
    assert set(left.values()) == {0}


def test_the_timing_cache_is_kept_and_another_release_begins_its_own(tmp_path: Path) -> None:
    with board_here("10.3"):
        built(tmp_path, graph(FP32))
        built(tmp_path, graph(FP32))
    with board_here("10.3", TRT_DOUBLE_RELEASE="10.7.0"):
        built(tmp_path, graph(FP32))

    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_logs_and_layers_are_written(tmp_path: Path) -> None:
    with board_here("10.3"):
        built(tmp_path, model_of("int8", "10.3"), logs=tmp_path)

    assert json.loads((tmp_path / "layers.json").read_text())["Layers"]
    assert (tmp_path / "build.log").exists()


class TestFailures:
    def test_the_parser_names_node_and_operator(self, tmp_path: Path) -> None:
        model = graph(FP32)
        model.graph.node[1].op_type = "Celu2"
        model.graph.node[1].name = "/model.0/act"

        with board_here("10.3"), pytest.raises(UnsupportedError, match=r"/model\.0/act \(Celu2\)"):
            built(tmp_path, model)

    @pytest.mark.parametrize(
        ("fault", "words"), [("oom", "OutOfMemory"), ("build:fp32", "cannot build the engine")]
    )
    def test_a_builder_that_gives_nothing_is_explained(self, fault: str, words: str, tmp_path: Path) -> None:
        with board_here("10.3", TRT_DOUBLE_FAIL=fault), pytest.raises(EdgeboundError, match=words) as caught:
            built(tmp_path, graph(FP32), logs=tmp_path)

        assert caught.value.hint
        assert (tmp_path / "build.log").read_text()

    def test_a_truncated_plan_is_explained(self, tmp_path: Path) -> None:
        with board_here("10.3"):
            built(tmp_path, graph(FP32))
            plan = tmp_path / PLAN_NAME
            plan.write_bytes(plan.read_bytes()[:-40])

            with pytest.raises(ModelError, match="cannot load the engine"), open_plan(plan):
                pass

    def test_ultralytics_metadata_before_a_plan_are_recognised(self, tmp_path: Path) -> None:
        meta = b'{"stride": 32}'
        with board_here("10.3"):
            built(tmp_path, graph(FP32))
            plan = tmp_path / PLAN_NAME
            plan.write_bytes(len(meta).to_bytes(4, "little") + meta + plan.read_bytes())

            with pytest.raises(ModelError, match="Ultralytics"), open_plan(plan):
                pass

    def test_a_plan_of_another_version_or_gpu_is_refused_before_it_is_loaded(self, tmp_path: Path) -> None:
        engine = tmp_path / "engine"
        engine.mkdir()
        with board_here("10.3"):
            build(written(tmp_path, graph(FP32)), ORIN, engine, WORK, cache=None, progress=lambda *_: None)
            here, found = version(), facts()
        write_manifest(engine, profile=ORIN, precision="fp32", runtime_version=here, facts=found)
        runtime = find_runtime("tensorrt")

        newer = pytest.raises(ModelError, match=r"built with TensorRT 10\.3.*; here is 10\.7")
        other = pytest.raises(ModelError, match=r"compute capability 8\.7; this GPU has 8\.9")
        with board_here("10.3", TRT_DOUBLE_RELEASE="10.7.0"), newer:
            runtime.open(engine, ORIN).__enter__()
        with board_here("10.3", sm="8.9"), other:
            runtime.open(engine, ORIN).__enter__()

    def test_pictures_of_another_size_are_refused(self, tmp_path: Path) -> None:
        with board_here("10.3"):
            built(tmp_path, graph(FP32))
            refused = pytest.raises(ModelError, match="takes")
            with open_plan(tmp_path / PLAN_NAME) as session, refused:
                session.infer(np.zeros((1, 3, 4, 4), np.float32))

            assert set(live_handles().values()) == {0}

    def test_a_dla_that_is_not_there_is_refused(self, tmp_path: Path) -> None:
        with board_here("10.16"), pytest.raises(UnsupportedError, match="has 0"):
            built(tmp_path, graph(FP32), replace(WORK, dla_core=0))


def test_fp16_runs_on_a_dla_where_tensorrt_has_them(tmp_path: Path) -> None:
    with board_here("8.5"):
        told = built(tmp_path, model_of("fp16", "8.5"), replace(WORK, dla_core=0))

    assert "--useDLACore=0" in told.command


def test_an_open_batch_is_built_for_several_and_run_with_one(tmp_path: Path, trt: ModuleType) -> None:
    built(tmp_path, graph(FP32, batch="N"))

    with open_plan(tmp_path / PLAN_NAME) as session:
        assert session.infer(IMAGE).shape == (1, 4, 8, 8)
