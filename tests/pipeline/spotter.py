"""A small detector that does find something, with a block that INT8 ruins, and pictures to judge it by."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import numpy_helper, parser

from stages.artifact import Artifact
from stages.dataset import Dataset, Picture, save_dataset
from targets.model import InputSpec, ModelSpec

SIDE, CELL = 64, 8
CELLS = SIDE // CELL

# Finds bright squares on a grid. `mean` has the brightness of each cell, and a thousand times that in another
# channel: on one scale with it, in 256 steps, the brightness itself is lost to `pick`. `same` is harmless.
SPOTTER = f"""
    <ir_version: 8, opset_import: ["": 17]>
    spotter (float[1, 3, {SIDE}, {SIDE}] images) => (float[1, 5, {CELLS * CELLS}] output0) {{
        same = Conv (images, w_same)
        mean = Conv <strides = [{CELL}, {CELL}]> (same, w_mean)
        pick = Conv (mean, w_pick)
        logits = Conv (pick, w_logits, b_logits)
        scores = Sigmoid (logits)
        row = Reshape (scores, row_shape)
        output0 = Concat <axis = 1> (boxes, row)
    }}
"""


def spotter() -> onnx.ModelProto:
    """Give the model; nodes are named after their outputs."""
    model = parser.parse_model(SPOTTER)
    x, y = np.meshgrid(*[np.arange(CELLS) * CELL + CELL / 2] * 2)
    boxes = np.stack([x.ravel(), y.ravel(), np.full(x.size, CELL), np.full(x.size, CELL)])[None]
    mean = np.full((2, 3, CELL, CELL), 1 / (3 * CELL * CELL))
    mean[1] *= 1000
    arrays = {
        "w_same": np.eye(3).reshape(3, 3, 1, 1), "w_mean": mean,
        "w_pick": np.array([1, 0]).reshape(1, 2, 1, 1), "w_logits": np.full((1, 1, 1, 1), 40),
        "b_logits": np.array([-20]), "boxes": boxes,
    }  # fmt: skip
    for name, values in arrays.items():
        model.graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), name))
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 1, CELLS * CELLS]), "row_shape"))
    for node in model.graph.node:
        node.name = node.output[0]
    onnx.checker.check_model(model)
    return model


@dataclass(frozen=True)
class Bench:
    """An exported model with the data that it is judged by."""

    onnx: Artifact
    index: Artifact
    pictures: Artifact


def make_bench(folder: Path) -> Bench:
    """Write the model and the data set into folders of `folder`."""
    for name in ("onnx", "index", "pictures"):
        (folder / name).mkdir()
    onnx.save(spotter(), folder / "onnx" / "model.onnx")
    ModelSpec(family="spotter", class_names=("spot",), input=InputSpec(SIDE, SIDE)).save(folder / "onnx")
    drawn = tuple(_draw(folder / "pictures", number) for number in range(16))
    save_dataset(
        Dataset(class_names=("spot",), train=drawn[:4], val=drawn[4:], calibration=drawn[:4]),
        folder / "index",
    )
    return Bench(*(Artifact.of(folder / name) for name in ("onnx", "index", "pictures")))


def _draw(folder: Path, number: int) -> Picture:
    """Draw a bright cell; each picture has another."""
    column, row = (3 * number) % CELLS, (5 * number + number // CELLS) % CELLS
    pixels = np.full((SIDE, SIDE, 3), 20 + number, np.uint8)
    pixels[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = 240
    path = folder / f"{number}.png"
    cv2.imwrite(str(path), pixels)
    box = [0, (column + 0.5) / CELLS, (row + 0.5) / CELLS, 1 / CELLS, 1 / CELLS]
    return Picture(
        file=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        width=SIDE,
        height=SIDE,
        boxes=np.array([box]),
        crowd=np.zeros(1, np.bool_),
    )
