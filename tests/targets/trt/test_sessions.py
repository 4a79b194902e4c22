"""Engines that run: graphs, batches, threads, and what is freed when something fails."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from targets.cuda_access import cudart
from targets.errors import EvidenceError, ModelError
from targets.kit import BoardWork
from targets.trt.build import PLAN_NAME
from targets.trt.run import open_engine, open_plan, open_session
from targets.trt.timings import time_engine
from tests.targets.trt.parts import WORK, built
from tests.trt_double.boards import FP32, IMAGE, graph, reference
from tests.trt_double.fixtures import board_here, live_handles


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    with board_here("10.3"):
        built(tmp_path, graph(FP32))
    return tmp_path / PLAN_NAME


@pytest.fixture
def open_batch(tmp_path: Path) -> Path:
    with board_here("10.3"):
        built(tmp_path, graph(FP32, batch="N"))
    return tmp_path / PLAN_NAME


def test_a_graph_computes_what_the_calls_compute_one_by_one(plan: Path) -> None:
    with board_here("10.3"), open_plan(plan) as session:
        launched, queued = session.call(IMAGE, graph=True), session.call(IMAGE, graph=False)

    np.testing.assert_array_equal(launched, queued)
    np.testing.assert_allclose(launched, reference(graph(FP32), IMAGE), atol=1e-5)


def test_where_no_graph_can_be_captured_the_engine_runs_without(
    plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: cudart.Cudart, stream: int) -> int:
        self.destroy_graph(ended(self, stream))
        raise EvidenceError("cudaStreamEndCapture: operation failed.", hint="None.")

    ended = cudart.Cudart.end_capture
    monkeypatch.setattr(cudart.Cudart, "end_capture", refuse)

    with board_here("10.3"), open_plan(plan) as session:
        graph_launched, found = session.graph, session.infer(IMAGE)

    assert not graph_launched
    np.testing.assert_allclose(found, reference(graph(FP32), IMAGE), atol=1e-5)


def test_threads_get_each_their_own_answer(plan: Path) -> None:
    pictures = [np.full_like(IMAGE, value) for value in np.linspace(-1, 1, 24)]

    with board_here("10.3"), open_plan(plan) as session, ThreadPoolExecutor(4) as threads:
        found = list(threads.map(session.infer, pictures))

    for picture, answer in zip(pictures, found, strict=True):
        np.testing.assert_allclose(answer, reference(graph(FP32), picture), atol=1e-5)


def test_what_is_no_number_stays_none(plan: Path) -> None:
    with board_here("10.3"), open_plan(plan) as session:
        found = session.infer(np.full_like(IMAGE, np.nan))

    assert np.isnan(found).all()


def test_an_inference_that_fails_is_evidence_that_is_missing_and_all_is_freed(plan: Path) -> None:
    failed = pytest.raises(EvidenceError, match=r"could not queue the engine: .*illegal memory access")

    with board_here("10.3", TRT_DOUBLE_FAIL="run"):
        with failed, open_plan(plan):
            pass

        assert set(live_handles().values()) == {0}


def test_memory_that_runs_out_is_evidence_that_is_missing_and_all_is_freed(plan: Path) -> None:
    with board_here("10.3", CUDA_DOUBLE_MEMORY_MIB="0"):
        with pytest.raises(EvidenceError, match="out of memory"), open_plan(plan):
            pass

        assert set(live_handles().values()) == {0}


def test_without_a_gpu_a_plan_is_not_loaded(plan: Path) -> None:
    gone = pytest.raises(EvidenceError, match="finds no GPU that it can use: CUDA initialization failure")

    with board_here("10.3", CUDA_DOUBLE_DEVICES="0"), gone, open_engine(plan):
        pass


def test_a_plan_that_is_gone_is_a_broken_engine(tmp_path: Path) -> None:
    with board_here("10.3"), pytest.raises(ModelError, match="cannot be read"), open_plan(tmp_path / "none"):
        pass


class TestOpenBatch:
    def test_several_pictures_are_run_at_once(self, open_batch: Path) -> None:
        pictures = np.concatenate([IMAGE * value for value in range(5)])

        with board_here("10.3"), open_engine(open_batch) as loaded, open_session(loaded, batch=5) as session:
            found = session.infer(pictures)

        np.testing.assert_allclose(found, reference(graph(FP32, batch="N"), pictures), atol=1e-5)

    def test_more_than_it_was_built_for_are_refused(self, open_batch: Path) -> None:
        refused = pytest.raises(EvidenceError, match=r"does not take 9 pictures at once: .*out of profile")

        with board_here("10.3"), open_engine(open_batch) as loaded:
            assert loaded.most == 8
            with refused, open_session(loaded, batch=9):
                pass

    def test_throughput_is_told_for_one_picture_and_for_many(self, open_batch: Path) -> None:
        with board_here("10.3"):
            timings = time_engine(open_batch, [IMAGE, IMAGE], WORK, progress=lambda *_: None)

        assert [(one.mode, one.batch) for one in timings] == [
            ("device", 1), ("device", 1), ("call", 1), ("throughput", 1), ("throughput", 8),
        ]  # fmt: skip
        assert timings[-1].img_s == pytest.approx(
            8 * 1e3 * 2 / timings[-1].latency.mean, rel=0.5
        )  # of two streams


def test_progress_ends_when_all_modes_are_timed(plan: Path) -> None:
    told: list[tuple[float, float, str]] = []

    with board_here("10.3"):
        time_engine(plan, [IMAGE], WORK, progress=lambda *what: told.append(what))

    assert [what[:2] for what in told] == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


def test_samples_are_as_many_as_asked_for(plan: Path) -> None:
    work = BoardWork(runs=25, seconds=60, warmup_runs=1, warmup_s=0)

    with board_here("10.3"):
        timings = time_engine(plan, [IMAGE], work, progress=lambda *_: None)

    assert {one.latency.n for one in timings} == {25}
