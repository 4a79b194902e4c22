"""All families that we train, and RT-DETR: placement, with a block of each written by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest

from stages.artifact import Artifact
from stages.onnx_files import load_onnx
from stages.quantize.foreign import prepared
from stages.quantize.insert import insert_qdq
from stages.quantize.noise import NoiseMeter
from stages.quantize.placement import Placement, place
from stages.quantize.placement_report import describe, summarize
from stages.quantize.ranges import Grid
from stages.quantize.rules import breaches, rules_for
from stages.stage import no_progress
from targets.errors import ModelError
from targets.model import load_model_spec
from targets.profile import Dialect

pytestmark = pytest.mark.slow  # they load torch, and export

CheckpointOf = Callable[..., Artifact]
ModelOf = Callable[[str], onnx.ModelProto]
Told = Callable[..., str]
GridsFor = Callable[..., dict[str, Grid]]

FAMILIES = ("yolov5n", "yolov8n", "yolov9t", "yolov10n", "yolo11n", "yolo12n", "yolo26n")
SIDE = 96  # pixels; of the models that checkpoint_of gives


def pictures(count: int) -> np.ndarray:
    """Give pictures of soft shapes, (count, 3, SIDE, SIDE), 0 … 1; in noise all places look alike."""
    coarse = np.random.default_rng(0).random((count, 8, 8, 3), np.float32)
    fine = [cv2.resize(one, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for one in coarse]
    return np.ascontiguousarray(np.stack(fine).transpose(0, 3, 1, 2).clip(0, 1))


def settle(module: Any) -> None:
    """Let every normalisation give values of about 1, as in a trained network; random weights let them fade.

    The output biases go, which would drown what little a random network says.
    """
    import torch
    from torch import nn

    def measure(norm: nn.BatchNorm2d, given: tuple[torch.Tensor]) -> None:
        norm.running_mean.zero_()
        norm.running_var.fill_(float(given[0].square().mean()))

    norms = [one for one in module.modules() if isinstance(one, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(measure) for norm in norms]
    with torch.no_grad():
        module(torch.from_numpy(pictures(4)))
        for part in module.model[-1].modules():
            if isinstance(part, nn.Conv2d) and part.bias is not None:
                part.bias.zero_()
    for hook in hooks:
        hook.remove()


def export(checkpoint: Artifact, folder: Path) -> onnx.ModelProto:
    from stages.checkpoint import load_module, save_checkpoint
    from stages.export import Export, ExportInputs

    module = load_module(checkpoint)
    settle(module)
    spec = load_model_spec(checkpoint.path)
    save_checkpoint(module, spec=spec, packages=(), folder=folder / "checkpoint")
    settled = Artifact.of(folder / "checkpoint")
    return load_onnx(Export().run(ExportInputs(checkpoint=settled), folder, no_progress).onnx / "model.onnx")


def trace_rtdetr() -> onnx.ModelProto:
    """Export RT-DETR-l an eighth as wide, with two decoder layers and 50 queries."""
    import onnxslim
    import torch
    import ultralytics

    from stages.export.tracing import trace
    from ultralytics.nn.tasks import RTDETRDetectionModel
    from ultralytics.utils import YAML

    config = YAML.load(Path(ultralytics.__file__).parent / "cfg/models/rt-detr/rtdetr-l.yaml")
    arguments = {"AIFI": [128, 4], "RTDETRDecoder": ["nc", 32, 50, 4, 4, 2, 64]}
    for row in config["backbone"] + config["head"]:
        narrow = [one // 8 if type(one) is int and one >= 48 else one for one in row[3]]
        row[1:] = [min(row[1], 2), row[2], arguments.get(row[2], narrow)]
    torch.manual_seed(0)
    module = RTDETRDetectionModel(config, ch=3, nc=3, verbose=False).eval().requires_grad_(False)
    for layer in module.model[-1].decoder.layers:  # they start as copies of one another
        for weight in layer.parameters():
            weight.add_(0.01 * torch.randn_like(weight))
    settle(module)
    module.fuse(verbose=False)
    module.model[-1].export, module.model[-1].format = True, "onnx"
    raw = trace(module, torch.zeros(1, 3, SIDE, SIDE), opset=17)
    return onnxslim.slim(onnx.load_from_string(raw))


@pytest.fixture(scope="module")
def model_of(checkpoint_of: CheckpointOf, tmp_path_factory: pytest.TempPathFactory) -> ModelOf:
    """Give the graph of a family, with random weights, as it is quantized."""
    made: dict[str, onnx.ModelProto] = {}

    def make(family: str) -> onnx.ModelProto:
        if family not in made:
            folder = tmp_path_factory.mktemp(family)
            model = trace_rtdetr() if family == "rtdetr" else export(checkpoint_of(family), folder)
            made[family] = prepared(model)
        return made[family]

    return make


def test_tmp(model_of, told, grids_for):
    import time

    for f in (*FAMILIES, "rtdetr"):
        t = time.time()
        m = model_of(f)
        p = place(m, exclude=("head",))
        print(f, summarize(m, p), time.time() - t)
        for sym in (True, False):
            q = insert_qdq(m, p, grids_for(m, p, pictures(1), symmetric=sym))
            print(sym, NoiseMeter(m, list(pictures(1))[:0] or [pictures(1)]).sqnr_db(q))
    for k in ("/model.0/", "/model.6/", "/model.11/", "/model.16/", "/model.28/"):
        print("====", k)
        print(told(m, p, k))
    assert 0
