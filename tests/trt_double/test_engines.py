"""Engines of the double: they compute, and loading and running them fails where it does on a board."""

import ctypes
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from targets.cuda_access import find_cuda
from tests.trt_double.boards import FP32, IMAGE, INT8, graph, reference, run
from tests.trt_double.fixtures import board_env, board_here


def test_a_graph_computes_what_onnx_runtime_computes(board):
    out = run(board.open(board.any_plan()), IMAGE, (1, 4, 8, 8))

    assert np.array_equal(out, reference(graph(FP32), IMAGE))


@pytest.mark.parametrize("line", ["8.5", "10.3", "11.4"])
def test_q_dq_computes_what_the_float_simulation_computes(on, line):
    board = on(line)
    if line == "8.5":
        board.config.set_flag(board.trt.BuilderFlag.INT8)
    out = run(board.open(board.build(graph(INT8), board.strong() or board.weak())), IMAGE, (1, 4, 8, 8))

    assert np.array_equal(out, reference(graph(INT8), IMAGE))


def test_a_dynamic_batch_runs_with_any_size_of_its_profile(board):
    profile = board.builder.create_optimization_profile()
    profile.set_shape("images", (1, 3, 8, 8), (2, 3, 8, 8), (4, 3, 8, 8))
    board.config.add_optimization_profile(profile)
    engine = board.open(board.build(graph(FP32, batch="n"), board.strong() or board.weak()))
    context = engine.create_execution_context()
    images = np.concatenate([IMAGE, -IMAGE, 2 * IMAGE])

    assert tuple(engine.get_tensor_shape("out")) == (-1, 4, 8, 8)
    assert not context.set_input_shape("images", (5, 3, 8, 8))
    assert context.set_input_shape("images", (3, 3, 8, 8))
    assert tuple(context.get_tensor_shape("out")) == (3, 4, 8, 8)
    assert np.array_equal(
        run(engine, images, (3, 4, 8, 8), context), reference(graph(FP32, batch="n"), images)
    )


def test_an_engine_tells_of_its_tensors(board):
    engine = board.open(board.any_plan())
    names = [engine.get_tensor_name(at) for at in range(engine.num_io_tensors)]

    assert names == ["images", "out"]
    assert [engine.get_tensor_mode(name).name for name in names] == ["INPUT", "OUTPUT"]
    assert tuple(engine.get_tensor_shape("images")) == (1, 3, 8, 8)
    assert engine.get_tensor_dtype("out") == board.trt.DataType.FLOAT


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        pytest.param(lambda plan: b"\x20\0\0\0{}" + plan, "Magic tag does not match", id="a prefix"),
        pytest.param(lambda plan: plan[:-10], "does not match archive size", id="the end is missing"),
        pytest.param(lambda plan: plan[:20], "does not match archive size", id="only the beginning"),
        pytest.param(lambda plan: b"", "Magic tag does not match", id="nothing"),
    ],
)
def test_a_damaged_plan_gives_none_and_a_line_in_the_log(on, damage, complaint):
    board = on("10.3")

    assert board.open(damage(bytes(board.any_plan()))) is None
    assert complaint in board.said[-1]


def test_a_plan_of_another_version_or_device_gives_none(on):
    plan = bytes(on("10.3").any_plan())
    newer, other = on("10.13"), on("10.3", sm="8.6")

    assert newer.open(plan) is None
    assert "expecting library version 10.13.3.9 got 10.3.0" in newer.said[-1]
    assert other.open(plan) is None
    assert "expecting compute 8.6 got compute 8.7" in other.said[-1]


@pytest.mark.parametrize(
    "forget", [lambda _context, _cuda: None, lambda context, cuda: context.set_tensor_address("images", 4096)]
)
def test_an_address_that_is_not_set_or_not_on_the_device_fails_the_run(on, forget):
    board = on("10.3")
    context, cuda = board.open(board.any_plan()).create_execution_context(), find_cuda()
    forget(context, cuda)
    stream = cuda.create_stream()

    assert context.execute_async_v3(stream) is False
    assert "The address of images" in board.said[-1]

    cuda.destroy_stream(stream)


def test_a_run_cannot_be_captured_before_one_that_was_not(on):
    board = on("10.3")
    context, cuda = board.open(board.any_plan()).create_execution_context(), find_cuda()
    stream, memory = cuda.create_stream(), [cuda.allocate(1 << 12), cuda.allocate(1 << 12)]
    for name, address in zip(("images", "out"), memory, strict=True):
        context.set_tensor_address(name, address)
    cuda.begin_capture(stream)
    first = context.execute_async_v3(stream)
    cuda.destroy_graph(cuda.end_capture(stream))
    second = context.execute_async_v3(stream)
    cuda.synchronize(stream)
    cuda.begin_capture(stream)
    third = context.execute_async_v3(stream)
    cuda.destroy_graph(cuda.end_capture(stream))

    assert (first, second, third) == (False, True, True)

    for address in memory:
        cuda.release(address)
    cuda.destroy_stream(stream)


def test_a_graph_lives_on_while_its_context_runs_without_it_and_runs_queue_up(on):
    board = on("10.3")
    context, cuda = board.open(board.any_plan()).create_execution_context(), find_cuda()
    expected = run(context.engine, IMAGE, (1, 4, 8, 8))
    out = np.zeros((1, 4, 8, 8), np.float32)
    stream, device, result = cuda.create_stream(), cuda.allocate(IMAGE.nbytes), cuda.allocate(out.nbytes)
    context.set_tensor_address("images", device)
    context.set_tensor_address("out", result)
    cuda.copy_to_device(device, IMAGE.ctypes.data, IMAGE.nbytes, stream)
    assert all(context.execute_async_v3(stream) for _ in range(3))
    cuda.synchronize(stream)
    cuda.begin_capture(stream)
    assert context.execute_async_v3(stream)
    captured = cuda.end_capture(stream)
    for _ in range(2):
        assert context.execute_async_v3(stream)
        cuda.synchronize(stream)
    cuda.launch_graph(captured, stream)
    cuda.copy_to_host(out.ctypes.data, result, out.nbytes, stream)
    cuda.synchronize(stream)

    assert np.array_equal(out, expected)

    cuda.destroy_graph(captured)
    for address in (device, result):
        cuda.release(address)
    cuda.destroy_stream(stream)


def test_the_inspector_tells_which_layers_are_int8_and_where_formats_change(on):
    board = on("10.3")
    board.config.profiling_verbosity = board.trt.ProfilingVerbosity.DETAILED
    engine = board.open(board.build(graph(INT8), board.strong()))
    inspector = engine.create_engine_inspector()
    layers = json.loads(inspector.get_engine_information(board.trt.LayerInformationFormat.JSON))["Layers"]

    assert ["Int8" in layer["Outputs"][0]["Format/Datatype"] for layer in layers] == [True]
    assert layers[0]["LayerType"] == "CaskConvolution"


def test_without_detail_the_inspector_tells_names_only(on):
    board = on("10.3")
    inspector = board.open(board.any_plan()).create_engine_inspector()
    layers = json.loads(inspector.get_engine_information(board.trt.LayerInformationFormat.JSON))["Layers"]

    assert all(isinstance(layer, str) for layer in layers)


def test_a_timing_cache_is_kept_and_one_of_another_device_is_refused(on):
    board = on("10.3")
    cache = board.config.create_timing_cache(b"")
    board.config.set_timing_cache(cache, False)
    board.any_plan()
    kept = bytes(board.config.get_timing_cache().serialize())
    same = on("10.3")
    assert same.config.set_timing_cache(same.config.create_timing_cache(kept), False)
    other = on("10.3", sm="7.2")

    assert not other.config.set_timing_cache(other.config.create_timing_cache(kept), False)
    assert other.config.set_timing_cache(other.config.create_timing_cache(kept), True)
    assert other.config.create_timing_cache(b"no cache") is None


@pytest.mark.parametrize(
    ("fault", "complaint"), [("oom", "OutOfMemory"), ("build:fp32", "Could not find any implementation")]
)
def test_a_build_fails_when_a_test_asks_for_it(on, fault, complaint):
    board = on("10.3", TRT_DOUBLE_FAIL=fault)

    assert board.any_plan() is None
    assert complaint in board.said[-1]


def test_a_fault_of_one_precision_leaves_the_others_alone(on):
    assert on("10.3", TRT_DOUBLE_FAIL="build:int8").any_plan() is not None


def test_a_build_takes_as_long_as_a_test_asks_for_and_tells_the_monitor(on):
    board = on("10.3", TRT_DOUBLE_FAIL="slow:0.2")
    steps = []

    class Monitor(board.trt.IProgressMonitor):
        def __init__(self):
            board.trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name, parent_phase, num_steps):
            steps.append(num_steps)

        def step_complete(self, phase_name, step):
            steps.append(step)
            return True

        def phase_finish(self, phase_name):
            steps.append(phase_name)

    board.config.progress_monitor = Monitor()
    begin = time.perf_counter()
    board.any_plan()

    assert time.perf_counter() - begin >= 0.2
    assert steps == [3, 0, 1, 2, "Building Engine"]


def test_a_child_gets_the_line_that_it_is_given_and_dies_in_a_build_when_asked():
    program = """
import onnx, sys, tensorrt as trt
log = trt.Logger()
builder = trt.Builder(log)
network = builder.create_network(0)
assert trt.OnnxParser(network, log).parse(sys.stdin.buffer.read())
print(trt.__version__, flush=True)
builder.build_serialized_network(network, builder.create_builder_config())
print("built")
"""
    env = {**os.environ, **board_env("11.4", TRT_DOUBLE_FAIL="crash")}
    done = subprocess.run(
        [sys.executable, "-c", program], input=graph(FP32).SerializeToString(), env=env, capture_output=True
    )

    assert (done.returncode, done.stdout) == (-9, b"11.4.1\n"), done.stderr


def test_the_process_is_left_as_it_was(on):
    with board_here("10.3") as double:
        assert sys.modules["tensorrt"] is double

    assert "tensorrt" not in sys.modules
    assert "TRT_DOUBLE_VERSION" not in os.environ


def test_host_memory_is_a_buffer(board):
    plan = board.any_plan()

    assert len(bytes(plan)) == plan.nbytes == ctypes.sizeof(plan)
