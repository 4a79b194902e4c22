"""The detector: an engine folder in, boxes out."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from targets.detector import Detector
from targets.engine import write_manifest
from targets.errors import DataError, ModelError, UsageError
from targets.model import load_model_spec
from targets.postprocess import decode
from targets.preprocess import letterbox
from targets.profile import RuntimeName, TargetProfile
from targets.runtimes import find_runtime

LOCAL: list[RuntimeName] = ["onnxruntime", "openvino"]


@pytest.fixture(params=LOCAL)
def engine(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    model_folder: Path,
    profile: Callable[[RuntimeName], TargetProfile],
) -> Path:
    runtime = find_runtime(request.param)
    folder = tmp_path / "engine"
    folder.mkdir()
    runtime.build(model_folder / "model.onnx", profile(request.param), folder)
    replace(load_model_spec(model_folder), conf=0.5).save(folder)
    write_manifest(
        folder, profile=profile(request.param), precision="fp32", runtime_version=runtime.version()
    )
    return folder


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 255, (48, 64, 3), dtype=np.uint8)


def test_it_finds_what_its_parts_find(engine: Path, picture: np.ndarray) -> None:
    spec = load_model_spec(engine)
    with Detector.open(engine, allow_unsigned=True) as detector:
        found = detector(picture)
        with find_runtime(detector.manifest.runtime).open(engine, detector.manifest.profile) as infer:
            images, placement = letterbox(picture, spec.input)
            expected = decode(infer(images), spec, placement)

    assert len(found) > 0
    assert np.array_equal(found.boxes, expected)
    first = next(iter(found))
    assert first.name == spec.class_names[first.class_id]
    assert [first.left, first.top, first.right, first.bottom, first.score] == pytest.approx(
        expected[0, :5].tolist()
    )
    assert found.times.total >= found.times.inference > 0


def test_each_picture_is_looked_at_by_itself_whatever_came_before(engine: Path, picture: np.ndarray) -> None:
    other = np.zeros((96, 32, 3), np.uint8)  # the borders of its input lie elsewhere
    with Detector.open(engine, allow_unsigned=True) as detector:
        alone = detector(picture)
        again = list(detector.each([other, picture]))[1]

    assert np.array_equal(alone.boxes, again.boxes)


def test_thresholds_can_be_set_and_are_otherwise_those_of_the_release(
    engine: Path, picture: np.ndarray
) -> None:
    with (
        Detector.open(engine, allow_unsigned=True) as usual,
        Detector.open(engine, conf=0.9, max_det=2, allow_unsigned=True) as strict,
    ):
        everything, few = usual(picture), strict(picture)

    assert everything.boxes[:, 4].min() > 0.5
    assert len(few) <= 2 < len(everything)


@pytest.mark.parametrize(
    ("name", "value"), [("conf", 1.5), ("conf", float("nan")), ("iou", -0.1), ("max_det", 0)]
)
def test_a_threshold_out_of_its_range_is_refused(engine: Path, name: str, value: float) -> None:
    with pytest.raises(UsageError, match=name):
        Detector.open(engine, allow_unsigned=True, **{name: value})


def test_an_engine_that_was_tampered_with_is_not_loaded(engine: Path) -> None:
    for path in engine.iterdir():
        if path.suffix in {".onnx", ".bin"}:
            path.write_bytes(path.read_bytes()[:-1] + b"!")

    with pytest.raises(ModelError):
        Detector.open(engine, allow_unsigned=True)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (None, "this is NoneType"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\)"),
        (np.zeros((4, 4, 4), np.uint8), "this one has 4"),
    ],
)
def test_what_is_no_picture_is_told(engine: Path, wrong: np.ndarray | None, said: str) -> None:
    with Detector.open(engine, allow_unsigned=True) as detector, pytest.raises(DataError, match=said):
        detector(wrong)


def test_a_grey_picture_is_taken(engine: Path, picture: np.ndarray) -> None:
    grey = picture[:, :, 0]
    with Detector.open(engine, allow_unsigned=True) as detector:
        assert np.array_equal(detector(grey).boxes, detector(np.dstack([grey] * 3)).boxes)


def test_only_some_classes_can_be_kept_and_records_are_json(engine: Path, picture: np.ndarray) -> None:
    with Detector.open(engine, allow_unsigned=True) as detector:
        found = detector(picture)
    kept = found.only(["stain"])

    assert {one.name for one in kept} == {"stain"}
    assert len(kept) == sum(one.name == "stain" for one in found)
    assert json.loads(json.dumps(kept.to_records()))[0]["name"] == "stain"


def test_it_needs_neither_torch_nor_ultralytics(engine: Path) -> None:
    lines = (
        "import sys, numpy\n"
        "from edgebound import Detector\n"
        "with Detector.open(sys.argv[1], allow_unsigned=True) as detector:\n"
        "    print(len(detector(numpy.zeros((48, 64, 3), 'uint8'))))\n"
        "print(sorted({'torch', 'ultralytics', 'onnx', 'pydantic', 'yaml'} & set(sys.modules)))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", lines, str(engine)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )

    assert done.stdout.splitlines()[1:] == ["[]"], done.stderr
