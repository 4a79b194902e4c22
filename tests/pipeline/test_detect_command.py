"""`pipeline detect`: an engine looks at pictures, a video or a camera."""

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from commands import invoke
from onnx import numpy_helper, parser

from targets.engine import write_manifest
from targets.model import InputSpec, ModelSpec
from targets.profile import TargetProfile
from targets.runtimes import find_runtime

SIDE = 32
# A lamp in the middle of every picture, the surer the brighter it is; never a hole.
LAMP = f"""<ir_version: 8, opset_import: ["": 17]>
lamps (float[1, 3, {SIDE}, {SIDE}] images) => (float[1, 6, 1] output0) {{
    mean = ReduceMean <axes = [1, 2, 3], keepdims = 0> (images)
    score = Reshape (mean, one)
    output0 = Concat <axis = 1> (box, nothing, score)
}}"""


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    model = parser.parse_model(LAMP)
    constants = {
        "one": np.array([1, 1, 1]),
        "box": np.array([16, 16, 8, 8], np.float32).reshape(1, 4, 1),
        "nothing": np.zeros((1, 1, 1), np.float32),
    }
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    onnx.save(model, tmp_path / "lamp.onnx")
    folder = tmp_path / "engine"
    folder.mkdir()
    profile = TargetProfile(name="here", device="this machine", runtime="onnxruntime", threads=1)
    runtime = find_runtime("onnxruntime")
    runtime.build(tmp_path / "lamp.onnx", profile, folder)
    ModelSpec(family="toy", class_names=("hole", "lamp"), input=InputSpec(SIDE, SIDE)).save(folder)
    write_manifest(folder, profile=profile, precision="fp32", runtime_version=runtime.version())
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, grey in {"bright": 200, "dim": 100, "dark": 10}.items():
        cv2.imwrite(str(folder / f"{name}.png"), np.full((64, 64, 3), grey, np.uint8))
    return folder


def test_each_picture_gives_a_line_and_the_last_line_sums_up(engine: Path, pictures: Path) -> None:
    outcome = invoke("detect", engine, "--allow-unsigned", "--source", pictures, "--json")
    lines = [json.loads(line) for line in outcome.out.splitlines()]

    assert outcome.code == 0
    assert [(line["name"], len(line["objects"])) for line in lines[:-1]] == [
        ("bright.png", 1), ("dark.png", 0), ("dim.png", 1),
    ]  # fmt: skip
    assert lines[0]["objects"] == [
        {"name": "lamp", "class_id": 1, "score": pytest.approx(200 / 255, abs=1e-3), "xyxy": [24, 24, 40, 40]}
    ]
    assert (lines[-1]["frames"], lines[-1]["detections"], lines[-1]["dropped"]) == (3, 2, 0)
    assert lines[-1]["fps"] > 0
    assert set(lines[-1]["p50_ms"]) == {"preprocess", "inference", "postprocess", "total"}


def test_boxes_are_drawn_into_a_folder(engine: Path, pictures: Path, tmp_path: Path) -> None:
    outcome = invoke("detect", engine, "--allow-unsigned", "--source", pictures, "--save", tmp_path / "seen")

    assert outcome.code == 0
    assert "3 frames, 2 objects" in outcome.said
    assert (cv2.imread(str(tmp_path / "seen" / "bright.png")) != 200).any()
    assert (cv2.imread(str(tmp_path / "seen" / "dark.png")) == 10).all()


def test_a_score_a_class_and_a_limit_can_be_asked_for(engine: Path, pictures: Path) -> None:
    strict = invoke(
        "detect", engine, "--allow-unsigned", "--source", pictures, "--conf", "0.5", "--json"
    ).document
    holes = invoke(
        "detect", engine, "--allow-unsigned", "--source", pictures, "--class", "hole", "--json"
    ).document
    first = invoke(
        "detect", engine, "--allow-unsigned", "--source", pictures, "--limit", "1", "--json"
    ).document

    assert (strict["detections"], holes["detections"], first["frames"]) == (1, 0, 1)


def test_a_broken_picture_is_told_and_counted_and_the_others_are_looked_at(
    engine: Path, pictures: Path
) -> None:
    (pictures / "dark.png").write_bytes(b"no picture")

    outcome = invoke("detect", engine, "--allow-unsigned", "--source", pictures, "--json")

    assert outcome.code == 1
    assert (outcome.document["frames"], outcome.document["broken"]) == (2, 1)
    assert f"left out: {pictures / 'dark.png'} cannot be read" in outcome.said


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--source", "nowhere"), 1, "nowhere is not there"),
        (("--source", "97"), 1, "Camera 97 cannot be opened"),
        (("--source", ".", "--class", "dog"), 2, "The engine knows no class dog"),
    ],
)
def test_what_cannot_be_done_is_told_in_two_lines(
    engine: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    outcome = invoke("detect", engine, "--allow-unsigned", *arguments)

    assert outcome.code == code
    assert outcome.said.startswith(f"error: {said}")
    assert "\nhint:  " in outcome.said


def test_a_folder_that_is_no_engine_is_told(pictures: Path) -> None:
    outcome = invoke("detect", pictures, "--source", pictures)

    assert outcome.code == 1
    assert "cannot be read as an engine's manifest" in outcome.said
