"""CUDA access: real C calls, to a stand-in of libcudart that does things when somebody waits for them."""

import ctypes
import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from targets.cuda_access import cudart, find_cuda
from targets.errors import EvidenceError
from tests.trt_double.fixtures import board_env, board_here, live_handles
from tests.trt_double.pycuda_double import Driver

SIZE = 64


@pytest.fixture(params=["cudart", "pycuda"])
def cuda(request, monkeypatch):
    with board_here("10.3"):
        if request.param == "pycuda":
            library = ctypes.CDLL(cudart.NAMES[0])
            monkeypatch.setitem(sys.modules, "pycuda", SimpleNamespace(driver=Driver(library)))
        before = live_handles()
        found = find_cuda()
        yield found
        assert found.name == request.param
        assert live_handles() == before, "a test must free what it made"


@pytest.fixture
def buffers(cuda):
    """Give a stream, and memory of SIZE bytes on the host and on the device."""
    stream, host, device = cuda.create_stream(), cuda.allocate_pinned(SIZE), cuda.allocate(SIZE)
    yield stream, host, device
    cuda.release(device)
    cuda.release_pinned(host)
    cuda.destroy_stream(stream)


def view(address):
    return np.frombuffer((ctypes.c_char * SIZE).from_address(address), dtype=np.uint8)


def test_the_device_is_described(cuda):
    gpu = cuda.gpu()

    assert (gpu.name, gpu.sm, gpu.integrated) == ("Orin", "8.7", True)
    assert gpu.memory_bytes == cuda.free_bytes() == 8 << 30
    assert cuda.runtime_version() == "12.6"


def test_what_is_allocated_is_no_longer_free(cuda):
    before = cuda.free_bytes()
    device = cuda.allocate(1 << 20)

    assert before - cuda.free_bytes() == 1 << 20

    cuda.release(device)


def test_bytes_go_to_the_device_and_back_when_the_stream_is_waited_for(cuda, buffers):
    stream, host, device = buffers
    view(host)[:] = np.arange(SIZE)
    cuda.copy_to_device(device, host, SIZE, stream)
    cuda.synchronize(stream)
    view(host)[:] = 0
    cuda.copy_to_host(host, device, SIZE, stream)
    early = view(host).copy()
    cuda.synchronize(stream)

    assert not early.any()
    assert (view(host) == np.arange(SIZE)).all()


def test_a_graph_repeats_what_was_captured_and_capturing_runs_nothing(cuda, buffers):
    stream, host, device = buffers
    cuda.begin_capture(stream)
    cuda.copy_to_device(device, host, SIZE, stream)
    cuda.copy_to_host(host, device, SIZE, stream)
    graph = cuda.end_capture(stream)
    view(host)[:] = 7
    cuda.launch_graph(graph, stream)
    cuda.synchronize(stream)
    cuda.destroy_graph(graph)

    assert (view(host) == 7).all()


def test_a_capture_that_was_broken_is_an_error_and_leaves_the_stream_usable(cuda, buffers):
    stream, host, device = buffers
    cuda.begin_capture(stream)
    with pytest.raises(EvidenceError, match="not permitted when stream is capturing"):
        cuda.synchronize(stream)
    with pytest.raises(EvidenceError, match="previous error during capture"):
        cuda.end_capture(stream)
    cuda.copy_to_device(device, host, SIZE, stream)

    cuda.synchronize(stream)


def test_time_between_events_is_that_of_the_device(cuda, buffers):
    stream, host, device = buffers
    begin, end = cuda.create_event(), cuda.create_event()
    cuda.record(begin, stream)
    cuda.copy_to_device(device, host, SIZE, stream)
    cuda.record(end, stream)
    with pytest.raises(EvidenceError, match="device not ready"):
        cuda.elapsed_ms(begin, end)
    cuda.synchronize(stream)

    assert 0 < cuda.elapsed_ms(begin, end) < 1000

    cuda.destroy_event(begin)
    cuda.destroy_event(end)


def test_too_much_memory_is_an_error_in_cudas_words_with_what_to_do(cuda):
    with pytest.raises(EvidenceError, match=r"cudaMalloc.*: out of memory") as error:
        cuda.allocate(9 << 30)

    assert "workspace" in error.value.hint


@pytest.mark.parametrize(
    "misuse",
    [
        pytest.param(lambda cuda: cuda.release(12345), id="memory"),
        pytest.param(lambda cuda: cuda.synchronize(12345), id="stream"),
        pytest.param(lambda cuda: cuda.destroy_event(12345), id="event"),
        pytest.param(lambda cuda: cuda.launch_graph(12345, 0), id="graph"),
    ],
)
def test_what_was_never_made_is_an_error_and_no_crash(cuda, misuse):
    with pytest.raises(EvidenceError, match=r"invalid|there is no 0x3039"):
        misuse(cuda)


def test_a_thread_of_its_own_leaves_nothing_behind_once_the_first_one_frees_something(cuda):
    def use():
        stream, event = cuda.create_stream(), cuda.create_event()
        cuda.record(event, stream)
        cuda.synchronize(stream)
        cuda.destroy_event(event)
        cuda.destroy_stream(stream)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()

    use()


def test_a_pycuda_without_a_device_leaves_it_to_the_runtime_to_say_so(monkeypatch):
    with board_here("10.3", CUDA_DOUBLE_DEVICES="0"):
        library = ctypes.CDLL(cudart.NAMES[0])
        monkeypatch.setitem(sys.modules, "pycuda", SimpleNamespace(driver=Driver(library)))

        with pytest.raises(EvidenceError, match="cudaGetDeviceCount"):
            find_cuda()


def test_no_device_is_missing_evidence():
    with board_here("10.3", CUDA_DOUBLE_DEVICES="0"), pytest.raises(EvidenceError) as error:
        find_cuda()

    assert error.value.what == "cudaGetDeviceCount: no CUDA-capable device is detected (CUDA error 100)."


def test_no_runtime_is_missing_evidence_with_the_package_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(cudart, "NAMES", ("libcudart.so.0",))
    monkeypatch.setattr(cudart, "_ROOT", tmp_path)

    with pytest.raises(EvidenceError, match=r"no libcudart\.so\.0") as error:
        cudart.open_cudart()

    assert "apt-get install cuda-cudart-" in error.value.hint


def test_a_library_without_a_call_that_we_need_is_refused(monkeypatch):
    monkeypatch.setattr(cudart, "NAMES", ("libc.so.6",))

    with pytest.raises(EvidenceError, match="has no cudaGetDevice;"):
        cudart.open_cudart()


def test_a_runtime_that_the_linker_does_not_know_is_found_where_cuda_is_installed(monkeypatch, tmp_path):
    with board_here("10.3"):
        [library] = cudart.NAMES
        folder = tmp_path / "cuda-12.6/targets/aarch64-linux/lib"
        folder.mkdir(parents=True)
        (folder / "libcudart.so.12").symlink_to(library)
        monkeypatch.setattr(cudart, "NAMES", ("libcudart.so.12",))
        monkeypatch.setattr(cudart, "_ROOT", tmp_path)

        assert str(folder / "libcudart.so.12") in list(cudart._candidates())
        assert cudart.open_cudart().gpu().sm == "8.7"


@pytest.mark.parametrize(("version", "cuda"), [("8.5", "11.4"), ("10.3", "12.6"), ("11.4", "13.2")])
def test_a_program_of_its_own_finds_the_runtime_of_its_jetpack(version, cuda):
    program = (
        "from targets.cuda_access import find_cuda; c = find_cuda(); print(c.runtime_version(), c.gpu().sm)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=board_env(version, sm="11.0", PATH="/usr/bin"),
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == [cuda, "11.0"]
