"""On a board with TensorRT, here its double: engines, all modes of latency, and a receipt that says so."""

import json
import os
from collections.abc import Callable

import numpy as np
import pytest

from targets.profile import TargetProfile
from tests.trt_double.fixtures import board_env

from .conftest import Board

Give = Callable[..., Board]
ORIN = TargetProfile(
    name="orin", device="AGX Orin", runtime="tensorrt", runtime_version="10.3.0", sm="8.7", local=False
)


@pytest.fixture
def orin(board: Give) -> Board:
    here = board("tensorrt", profile=ORIN)
    here.env = board_env("10.3")
    return here


@pytest.mark.slow
def test_the_double_s_receipt_says_that_it_is_simulated(orin: Board, board: Give) -> None:
    done = orin.agent("run")

    assert done.returncode == 0, done.stderr
    receipt = orin.receipt()
    assert receipt.simulated
    assert receipt.runtime_version.startswith("10.3")
    assert receipt.facts["sm"] == "8.7"
    for one in receipt.engines:
        assert one.build is not None, one.failed
        assert "trtexec" in one.build.command
        assert one.timings[0].mode == "call"
        assert {timing.mode for timing in one.timings} == {"call", "device", "throughput"}
        assert f"engines/{one.id}.log" in receipt.files
    reference = board("onnxruntime", name="reference")
    reference.agent("run")
    for name in ("counts", "boxes"):
        ours, theirs = (np.load(here.job / "receipt/detections/fp32.npz")[name] for here in (orin, reference))
        np.testing.assert_allclose(ours, theirs, atol=1e-2)


@pytest.mark.slow
def test_engines_of_another_release_of_tensorrt_are_built_again(orin: Board) -> None:
    orin.agent("run")
    orin.env = {**board_env("10.3"), "TRT_DOUBLE_RELEASE": "10.3.1"}

    orin.agent("run", "--max-age-h", "0")

    assert orin.built() == ["fp32", "int8", "fp32", "int8"]
    assert orin.receipt().runtime_version.startswith("10.3.1")


@pytest.mark.slow
def test_a_build_that_fails_on_the_board_is_told_in_the_receipt(orin: Board) -> None:
    orin.env["TRT_DOUBLE_FAIL"] = "build:fp32"

    done = orin.agent("run")

    assert done.returncode == 0
    assert all(one.failed for one in orin.receipt().engines)


def test_a_gpu_of_another_generation_is_refused_before_anything_is_built(orin: Board) -> None:
    orin.env = board_env("10.3", sm="7.2")

    done = orin.agent("run")

    assert done.returncode == 4
    assert "compute capability 7.2, not 8.7" in done.stderr
    assert not (orin.job / "build").exists()


def test_the_status_names_tensorrt_and_the_gpu(orin: Board) -> None:
    status = json.loads(orin.agent("status").stdout)

    assert status["runtimes"]["tensorrt"].startswith("10.3")
    assert status["facts"]["sm"] == "8.7"
    assert status["missing"] == []


def test_tensorrt_without_cuda_is_told_with_the_package_to_install(orin: Board) -> None:
    orin.env["LD_LIBRARY_PATH"] = os.devnull

    done = orin.agent("check")

    assert done.returncode == 4
    assert "CUDA" in done.stderr


@pytest.mark.slow
def test_a_builder_that_the_system_kills_is_told_and_tried_again_by_a_later_run(orin: Board) -> None:
    orin.env["TRT_DOUBLE_FAIL"] = "crash"

    killed = orin.agent("run")
    reasons = [one.failed for one in orin.receipt().engines]
    orin.env.pop("TRT_DOUBLE_FAIL")
    again = orin.agent("run")

    assert killed.returncode == again.returncode == 0
    assert all("was killed by SIGKILL" in reason and "out of memory" in reason for reason in reasons)
    assert not any(one.failed for one in orin.receipt().engines)
