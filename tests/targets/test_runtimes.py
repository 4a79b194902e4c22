"""What every runtime promises: build, open, infer; and clear errors for what is no engine."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import pytest
from onnx import parser

from targets.errors import EdgeboundError, EvidenceError, ModelError, UnsupportedError
from targets.profile import RuntimeName, TargetProfile
from targets.runtime import Runtime
from targets.runtimes import find_runtime

LOCAL: tuple[RuntimeName, ...] = ("null", "onnxruntime", "openvino")
FILES = {"null": {"null.json"}, "onnxruntime": {"model.onnx"}, "openvino": {"model.xml", "model.bin"}}
Profiles = Callable[[RuntimeName], TargetProfile]


@pytest.fixture(params=LOCAL)
def name(request: pytest.FixtureRequest) -> RuntimeName:
    return request.param


@pytest.fixture
def runtime(name: RuntimeName) -> Runtime:
    return find_runtime(name)


@pytest.fixture
def engine(
    runtime: Runtime, name: RuntimeName, model_folder: Path, profile: Profiles, tmp_path: Path
) -> Iterator[Path]:
    folder = tmp_path / "engine"
    folder.mkdir()
    runtime.build(model_folder / "model.onnx", profile(name), folder)
    return folder


def _reference(model_folder: Path, images: np.ndarray) -> np.ndarray:
    model = onnx.load(model_folder / "model.onnx")
    weights = onnx.numpy_helper.to_array(model.graph.initializer[0])
    return (images.reshape(1, -1) @ weights).reshape(1, 7, -1)


def test_every_runtime_has_a_name_or_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)  # as where it is not installed

    assert set(get_args(RuntimeName)) == {*LOCAL, "tensorrt"}
    with pytest.raises(EvidenceError, match="TensorRT cannot be loaded here"):
        find_runtime("tensorrt").version()


def test_build_writes_the_engines_files_and_no_other(engine: Path, name: RuntimeName) -> None:
    assert {file.name for file in engine.iterdir()} == FILES[name]


def test_two_builds_are_equal(
    engine: Path, runtime: Runtime, name: RuntimeName, model_folder: Path, profile: Profiles, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    again.mkdir()

    runtime.build(model_folder / "model.onnx", profile(name), again)

    assert all((again / file).read_bytes() == (engine / file).read_bytes() for file in FILES[name])


def test_engine_computes_what_the_model_says(
    engine: Path,
    runtime: Runtime,
    name: RuntimeName,
    model_folder: Path,
    profile: Profiles,
    images: np.ndarray,
) -> None:
    expected = _reference(model_folder, images) if name != "null" else np.zeros((1, 7, 21))

    with runtime.open(engine, profile(name)) as infer:
        output = infer(images)

    assert (output.shape, output.dtype) == ((1, 7, 21), np.float32)
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-3)


def test_pictures_may_lie_in_memory_as_they_like(
    engine: Path, runtime: Runtime, name: RuntimeName, profile: Profiles, images: np.ndarray
) -> None:
    strided = np.asfortranarray(images[..., ::-1])

    with runtime.open(engine, profile(name)) as infer:
        np.testing.assert_array_equal(infer(strided), infer(strided.copy("C")))


def test_output_belongs_to_the_caller(
    engine: Path, runtime: Runtime, name: RuntimeName, profile: Profiles, images: np.ndarray
) -> None:
    with runtime.open(engine, profile(name)) as infer:
        first = infer(images)
        kept = first.copy()
        infer(1 - images)

        np.testing.assert_array_equal(first, kept)


def test_version_is_told(runtime: Runtime) -> None:
    assert runtime.version()[0].isdigit()


def test_folder_without_an_engine_is_a_model_error(
    runtime: Runtime, name: RuntimeName, profile: Profiles, tmp_path: Path
) -> None:
    with pytest.raises(ModelError), runtime.open(tmp_path, profile(name)):
        pass


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_truncated_engine_is_a_model_error(
    engine: Path, runtime: Runtime, name: RuntimeName, profile: Profiles, keep: float
) -> None:
    file = engine / min(FILES[name])
    content = file.read_bytes()
    file.write_bytes(content[: int(keep * (len(content) - 2))])

    with pytest.raises(ModelError), runtime.open(engine, profile(name)):
        pass


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_signals_are_heard_after_engines_are_closed_in_the_order_they_were_opened(
    engine: Path, name: RuntimeName
) -> None:
    code = f"""
import gc, os, signal
from pathlib import Path
from targets.profile import TargetProfile
from targets.runtimes import find_runtime
signal.signal(signal.SIGUSR1, lambda *_: print("heard", flush=True))
profile = TargetProfile(name="here", device="this machine", runtime="{name}")
opened = [find_runtime("{name}").open(Path({str(engine)!r}), profile) for _ in range(2)]
for one in opened:
    one.__enter__()
while opened:
    opened.pop(0).__exit__(None, None, None)
    gc.collect()
os.kill(os.getpid(), signal.SIGUSR1)
"""

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_picture_of_another_size_is_a_model_error(
    engine: Path, runtime: Runtime, name: RuntimeName, profile: Profiles
) -> None:
    with runtime.open(engine, profile(name)) as infer, pytest.raises(ModelError, match=r"picture|shape"):
        infer(np.zeros((1, 3, 8, 8), np.float32))


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_model_that_the_runtime_lacks_an_operator_for_is_unsupported(
    runtime: Runtime, name: RuntimeName, profile: Profiles, tmp_path: Path
) -> None:
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> g (float[1,3] x) => (float[1,3] y) { y = YoloLayer (x) }'
    )
    onnx.save(model, tmp_path / "model.onnx")
    (tmp_path / "out").mkdir()

    with pytest.raises(UnsupportedError, match="YoloLayer"):
        runtime.build(tmp_path / "model.onnx", profile(name), tmp_path / "out")


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_file_that_is_no_model_is_our_error(
    runtime: Runtime, name: RuntimeName, profile: Profiles, tmp_path: Path
) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\x08\x08\xff" * 100)
    (tmp_path / "out").mkdir()

    with pytest.raises(EdgeboundError):
        runtime.build(tmp_path / "model.onnx", profile(name), tmp_path / "out")
