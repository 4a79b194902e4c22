"""The DeepStream example: what it writes, and that its parser reads what our own code reads."""

import configparser
import ctypes
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from targets.engine import write_manifest
from targets.model import InputSpec, ModelSpec
from targets.postprocess import decode
from targets.preprocess import letterbox
from targets.profile import TargetProfile

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "edge" / "deepstream"
SIDE, ANCHORS = 64, 200
SPEC = ModelSpec(family="toy", class_names=("hole", "scratch", "stain"), input=InputSpec(SIDE, SIDE))


def make(folder: Path, runtime: str = "tensorrt", spec: ModelSpec = SPEC) -> Path:
    folder.mkdir()
    (folder / "engine.plan").write_bytes(b"a plan")
    spec.save(folder)
    profile = TargetProfile(name="orin", device="Orin", runtime=runtime)  # type: ignore[arg-type]
    write_manifest(folder, profile=profile, precision="fp16", runtime_version="10.3.0", facts={"sm": "8.7"})
    return folder


def write(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, EXAMPLE / "write_config.py", *arguments],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT)},
    )


def test_plan_labels_and_configuration_are_written(tmp_path: Path) -> None:
    engine = make(tmp_path / "engine")

    done = write(engine, tmp_path / "out", "--allow-unsigned")

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/engine.plan").read_bytes() == b"a plan"
    assert (tmp_path / "out/labels.txt").read_text() == "hole\nscratch\nstain\n"
    found = configparser.ConfigParser()
    found.read(tmp_path / "out/config_infer_primary.txt")
    table = found["property"]
    assert (table["num-detected-classes"], table["network-mode"], table["infer-dims"]) == (
        "3",
        "2",
        "3;64;64",
    )
    assert float(table["net-scale-factor"]) == pytest.approx(1 / 255)
    assert dict(found["class-attrs-all"]) == {
        "pre-cluster-threshold": "0.25", "nms-iou-threshold": "0.7", "topk": "300",
    }  # fmt: skip
    source = (EXAMPLE / "parser.cpp").read_text()
    assert f"bool {table['parse-bbox-func-name']}(" in source


@pytest.mark.parametrize(
    ("runtime", "spec", "arguments", "code"),
    [
        ("openvino", SPEC, ("--allow-unsigned",), 5),
        ("tensorrt", replace(SPEC, output="end2end"), ("--allow-unsigned",), 5),
        ("tensorrt", SPEC, (), 1),  # nobody signed it
    ],
)
def test_what_deepstream_cannot_run_is_refused(
    tmp_path: Path, runtime: str, spec: ModelSpec, arguments: tuple[str, ...], code: int
) -> None:
    engine = make(tmp_path / "engine", runtime, spec)

    assert write(engine, tmp_path / "out", *arguments).returncode == code
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., int]:
    if shutil.which("g++") is None:
        pytest.skip("no C++ compiler: apt-get install g++")
    library = tmp_path_factory.mktemp("parser") / "parser.so"
    here = Path(__file__).parent / "nvinfer"
    flags = ["-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", "-I", here, "-o", library]
    subprocess.run(["g++", *flags, EXAMPLE / "parser.cpp", here / "call.cpp"], check=True)
    found: Callable[..., int] = ctypes.CDLL(str(library)).call
    return found


def parse(call: Callable[..., int], output: np.ndarray, conf: float) -> np.ndarray | None:
    values = np.ascontiguousarray(output, np.float32)
    objects = np.zeros((values.shape[1], 6), np.float32)
    pointer = ctypes.POINTER(ctypes.c_float)
    count = call(
        values.ctypes.data_as(pointer), *values.shape, len(SPEC.class_names), SIDE, ctypes.c_float(conf),
        objects.ctypes.data_as(pointer),
    )  # fmt: skip
    return None if count < 0 else objects[:count]


def test_the_parser_reads_what_our_own_code_reads(call: Callable[..., int]) -> None:
    random = np.random.default_rng(4)
    boxes = random.uniform([0, 0, 1, 1], [SIDE, SIDE, 30, 30], (ANCHORS, 4)).T
    output = np.concatenate([boxes, random.random((3, ANCHORS))]).astype(np.float32)
    _, placement = letterbox(np.zeros((SIDE, SIDE, 3), np.uint8), SPEC.input)

    found = parse(call, output, 0.6)
    # Without NMS, which is nvinfer's: an overlap above 1 there is none.
    ours = decode(output[None], replace(SPEC, conf=0.6, iou=1.0), placement)

    assert found is not None
    assert len(found) == len(ours) > 50
    by_score = found[np.argsort(-found[:, 4], kind="stable")]
    np.testing.assert_allclose(by_score, ours, atol=1e-3)


def test_another_output_than_the_raw_one_is_refused(call: Callable[..., int]) -> None:
    assert parse(call, np.zeros((6, 10), np.float32), 0.5) is None
