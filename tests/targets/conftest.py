"""A detector that takes no training, and a profile for each runtime."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from targets.model import InputSpec, ModelSpec
from targets.profile import RuntimeName, TargetProfile

CLASSES = ("hole", "scratch", "stain")
SIDE = 32
ANCHORS = 4 * 4 + 2 * 2 + 1


@pytest.fixture
def profile() -> Callable[[RuntimeName], TargetProfile]:
    return lambda runtime: TargetProfile(name="here", device="this machine", runtime=runtime, threads=1)


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """Give `model.onnx`, whose output is a random projection of the picture, and `model.json`."""
    folder = tmp_path / "onnx"
    folder.mkdir()
    model = parser.parse_model(
        f"""<ir_version: 8, opset_import: ["": 17]>
        detector (float[1, 3, {SIDE}, {SIDE}] images) => (float[1, 7, {ANCHORS}] output0) {{
            flat = Flatten (images)
            projected = MatMul (flat, weights)
            output0 = Reshape (projected, shape)
        }}"""
    )
    weights = np.random.default_rng(0).normal(size=(3 * SIDE * SIDE, 7 * ANCHORS)).astype(np.float32)
    shape = np.array([1, 7, ANCHORS])
    model.graph.initializer.extend(
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(shape, "shape")]
    )
    onnx.save(model, folder / "model.onnx")
    ModelSpec(family="toy", class_names=CLASSES, input=InputSpec(SIDE, SIDE)).save(folder)
    return folder


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(1).random((1, 3, SIDE, SIDE), np.float32)
