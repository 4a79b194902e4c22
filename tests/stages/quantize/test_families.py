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
from stages.quantize.placement import place
from stages.quantize.ranges import Grid
from stages.quantize.ranking.noise import NoiseMeter
from stages.quantize.report import describe, summarize
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


def build_rtdetr() -> Any:
    """Give RT-DETR-l an eighth as wide, with two decoder layers and 50 queries."""
    import torch
    from ultralytics.nn.tasks import RTDETRDetectionModel, yaml_model_load

    config = yaml_model_load("rtdetr-l.yaml")
    arguments = {"AIFI": [128, 4], "RTDETRDecoder": ["nc", 32, 50, 4, 4, 2, 64]}
    for row in config["backbone"] + config["head"]:
        narrow = [one // 8 if type(one) is int and one >= 48 else one for one in row[3]]
        row[1:] = [min(row[1], 2), row[2], arguments.get(row[2], narrow)]
    torch.manual_seed(0)
    module = RTDETRDetectionModel(config, ch=3, nc=3, verbose=False).eval().requires_grad_(False)
    for layer in module.model[-1].decoder.layers:  # they start as copies of one another
        for weight in layer.parameters():
            weight.add_(0.01 * torch.randn_like(weight))
    return module


def trace_rtdetr() -> onnx.ModelProto:
    import onnxslim
    import torch

    from stages.export.tracing import trace

    module = build_rtdetr()  # ultralytics must not be imported before our stages
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


C3 = """\
cv1/conv/Conv <- /model.1/act/Mul
cv2/conv/Conv <- /model.1/act/Mul
m/m.0/cv1/conv/Conv <- cv1/act/Mul
m/m.0/cv2/conv/Conv <- m/m.0/cv1/act/Mul
m/m.0/Add <- cv1/act/Mul
Concat <- m/m.0/Add, cv2/act/Mul
cv3/conv/Conv <- Concat
one scale: cv2/act/Mul, m/m.0/Add, Concat
"""
SPPF = """\
cv1/conv/Conv <- /model.8/cv3/act/Mul
m/MaxPool <- cv1/act/Mul
m_1/MaxPool <- m/MaxPool
m_2/MaxPool <- m_1/MaxPool
Concat <- cv1/act/Mul, m/MaxPool, m_1/MaxPool, m_2/MaxPool
cv2/conv/Conv <- Concat
one scale: cv1/act/Mul, m/MaxPool, m_1/MaxPool, m_2/MaxPool, Concat
"""
C2F = """\
cv1/conv/Conv <- /model.1/act/Mul
Split <- cv1/act/Mul
m.0/cv1/conv/Conv <- Split:1
m.0/cv2/conv/Conv <- m.0/cv1/act/Mul
m.0/Add <- Split:1
Concat <- Split:0, Split:1, m.0/Add
cv2/conv/Conv <- Concat
one scale: cv1/act/Mul, Split:0, Split:1, m.0/Add, Concat
"""
# The neck: what is upsampled, and what comes from below and above.
UPSAMPLING = """\
Resize <- /model.9/cv2/act/Mul
one scale: /model.6/cv2/act/Mul, /model.9/cv2/act/Mul, Resize, /model.11/Concat, /model.19/act/Mul, \
/model.20/Concat
"""
DETECT = """\
cv2.0.0/conv/Conv <- /model.15/cv2/act/Mul
cv2.0.1/conv/Conv <- cv2.0.0/act/Mul
float: cv2.0.2/Conv
"""
ELAN1 = """\
cv1/conv/Conv <- /model.1/act/Mul
Slice <- cv1/act/Mul
Slice_1 <- cv1/act/Mul
cv2/conv/Conv <- Slice_1
cv3/conv/Conv <- cv2/act/Mul
Concat <- Slice, Slice_1, cv2/act/Mul, cv3/act/Mul
cv4/conv/Conv <- Concat
one scale: cv1/act/Mul, Slice, Slice_1, cv2/act/Mul, cv3/act/Mul, Concat
"""
ACONV = """\
AveragePool <- /model.2/cv4/act/Mul
cv1/conv/Conv <- AveragePool
"""
# Attention: what enters convolutions is INT8, products of activations and Softmax are float.
PSA = """\
cv1/conv/Conv <- /model.9/cv2/act/Mul
Split <- cv1/act/Mul
attn/qkv/conv/Conv <- Split:1
attn/Reshape_2 <- attn/Split:2
attn/pe/conv/Conv <- attn/Reshape_2
attn/proj/conv/Conv <- attn/Add
Add <- Split:1
ffn/ffn.0/conv/Conv <- Add
ffn/ffn.1/conv/Conv <- ffn/ffn.0/act/Mul
Add_1 <- Add
Concat <- Split:0, Add_1
cv2/conv/Conv <- Concat
one scale: /model.6/cv2/act/Mul, cv2/act/Mul, /model.11/Resize, /model.12/Concat, /model.20/cv2/conv/Conv, \
/model.21/Concat
one scale: cv1/act/Mul, Split:0, Split:1, Add_1, Concat
one scale: attn/Split:2, attn/Reshape_2
float: attn/Reshape, attn/Split, attn/Mul, attn/Transpose, attn/MatMul, attn/Softmax, attn/Transpose_1, \
attn/MatMul_1, attn/Reshape_1, attn/Add
"""
# Five convolutions in a row, three of them depthwise, and a shortcut past them all.
C2FCIB = """\
cv1/conv/Conv <- /model.21/Concat
Split <- cv1/act/Mul
m.0/cv1/cv1.0/conv/Conv <- Split:1
m.0/cv1/cv1.1/conv/Conv <- m.0/cv1/cv1.0/act/Mul
m.0/cv1/cv1.2/conv/Conv <- m.0/cv1/cv1.1/act/Mul
m.0/cv1/cv1.3/conv/Conv <- m.0/cv1/cv1.2/act/Mul
m.0/cv1/cv1.4/conv/Conv <- m.0/cv1/cv1.3/act/Mul
m.0/Add <- Split:1
Concat <- Split:0, Split:1, m.0/Add
cv2/conv/Conv <- Concat
one scale: cv1/act/Mul, Split:0, Split:1, m.0/Add, Concat
"""
C2PSA = """\
attn/qkv/conv/Conv <- /model.10/Split:1
attn/Reshape_2 <- attn/Split:2
attn/pe/conv/Conv <- attn/Reshape_2
attn/proj/conv/Conv <- attn/Add
Add <- /model.10/Split:1
ffn/ffn.0/conv/Conv <- Add
ffn/ffn.1/conv/Conv <- ffn/ffn.0/act/Mul
Add_1 <- Add
one scale: /model.10/cv1/act/Mul, /model.10/Split:0, /model.10/Split:1, Add_1, /model.10/Concat
one scale: attn/Split:2, attn/Reshape_2
float: attn/Reshape, attn/Split, attn/Mul, attn/Transpose, attn/MatMul, attn/Softmax, attn/Transpose_1, \
attn/MatMul_1, attn/Reshape_1, attn/Add
"""
C3K2 = """\
cv1/conv/Conv <- /model.7/act/Mul
Split <- cv1/act/Mul
m.0/cv1/conv/Conv <- Split:1
m.0/cv2/conv/Conv <- Split:1
m.0/m/m.0/cv1/conv/Conv <- m.0/cv1/act/Mul
m.0/m/m.0/cv2/conv/Conv <- m.0/m/m.0/cv1/act/Mul
m.0/m/m.0/Add <- m.0/cv1/act/Mul
m.0/m/m.1/cv1/conv/Conv <- m.0/m/m.0/Add
m.0/m/m.1/cv2/conv/Conv <- m.0/m/m.1/cv1/act/Mul
m.0/m/m.1/Add <- m.0/m/m.0/Add
m.0/Concat <- m.0/m/m.1/Add, m.0/cv2/act/Mul
m.0/cv3/conv/Conv <- m.0/Concat
Concat <- Split:0, Split:1, m.0/cv3/act/Mul
cv2/conv/Conv <- Concat
one scale: cv1/act/Mul, Split:0, Split:1, m.0/cv3/act/Mul, Concat
one scale: m.0/cv2/act/Mul, m.0/m/m.1/Add, m.0/Concat
"""
# Area attention: cells are cut into areas before, and joined after, so there is more to reshape.
ABLOCK = """\
attn/qkv/conv/Conv <- /model.6/cv1/act/Mul
attn/Transpose_5 <- attn/Split:2
attn/Reshape_4 <- attn/Transpose_5
attn/Transpose_7 <- attn/Reshape_4
attn/pe/conv/Conv <- attn/Transpose_7
attn/proj/conv/Conv <- attn/Add
Add <- /model.6/cv1/act/Mul
mlp/mlp.0/conv/Conv <- Add
mlp/mlp.1/conv/Conv <- mlp/mlp.0/act/Mul
Add_1 <- Add
one scale: attn/Split:2, attn/Transpose_5, attn/Reshape_4, attn/Transpose_7
float: attn/Reshape, attn/Transpose, attn/Reshape_1, attn/Transpose_1, attn/Split, attn/Mul, \
attn/Transpose_2, attn/MatMul, attn/Softmax, attn/Transpose_3, attn/MatMul_1, attn/Transpose_4, \
attn/Reshape_3, attn/Transpose_6, attn/Add
"""
# Its first convolution has no activation, and the whole block a shortcut.
SPPF_OF_26 = """\
cv1/conv/Conv <- /model.8/cv2/act/Mul
m/MaxPool <- cv1/conv/Conv
m_1/MaxPool <- m/MaxPool
m_2/MaxPool <- m_1/MaxPool
Concat <- cv1/conv/Conv, m/MaxPool, m_1/MaxPool, m_2/MaxPool
cv2/conv/Conv <- Concat
Add <- /model.8/cv2/act/Mul
one scale: cv1/conv/Conv, m/MaxPool, m_1/MaxPool, m_2/MaxPool, Concat
"""
ONE2ONE = """\
one2one_cv3.0.0/one2one_cv3.0.0.0/conv/Conv <- /model.16/cv2/act/Mul
one2one_cv3.0.0/one2one_cv3.0.0.1/conv/Conv <- one2one_cv3.0.0/one2one_cv3.0.0.0/act/Mul
one2one_cv3.0.1/one2one_cv3.0.1.0/conv/Conv <- one2one_cv3.0.0/one2one_cv3.0.0.1/act/Mul
one2one_cv3.0.1/one2one_cv3.0.1.1/conv/Conv <- one2one_cv3.0.1/one2one_cv3.0.1.0/act/Mul
float: one2one_cv3.0.2/Conv
"""
HGSTEM = """\
stem1/conv/Conv <- images
Pad <- stem1/act/Relu
stem2a/conv/Conv <- stem1/act/Relu
pool/MaxPool <- Pad
stem2b/conv/Conv <- stem2a/act/Relu
Concat_2 <- pool/MaxPool, stem2b/act/Relu
stem3/conv/Conv <- Concat_2
stem4/conv/Conv <- stem3/act/Relu
one scale: stem1/act/Relu, Pad, pool/MaxPool, stem2b/act/Relu, Concat_2
one scale: stem4/act/Relu, /model.1/m.0/act/Relu, /model.1/m.1/act/Relu, /model.1/Concat
"""
HGBLOCK = """\
m.0/conv1/conv/Conv <- /model.5/ec/act/Relu
m.0/conv2/conv/Conv <- m.0/conv1/conv/Conv
m.1/conv1/conv/Conv <- m.0/conv2/act/Relu
m.1/conv2/conv/Conv <- m.1/conv1/conv/Conv
Concat <- /model.5/ec/act/Relu, m.0/conv2/act/Relu, m.1/conv2/act/Relu
sc/conv/Conv <- Concat
ec/conv/Conv <- sc/act/Relu
Add <- /model.5/ec/act/Relu
one scale: /model.5/ec/act/Relu, m.0/conv2/act/Relu, m.1/conv2/act/Relu, Concat
one scale: Add, /model.7/m.0/conv2/act/Relu, /model.7/m.1/conv2/act/Relu, /model.7/Concat
"""
REPC3 = """\
cv1/conv/Conv <- /model.15/Concat
cv2/conv/Conv <- /model.15/Concat
m/m.0/conv/Conv <- cv1/act/Mul
m/m.1/conv/Conv <- m/m.0/act/Mul
float: Add
"""


@pytest.mark.parametrize(
    ("family", "module", "expected"),
    [
        pytest.param("yolov5n", "/model.2/", C3, id="v5u C3"),
        pytest.param("yolov5n", "/model.9/", SPPF, id="v5u SPPF"),
        pytest.param("yolov8n", "/model.2/", C2F, id="v8 C2f"),
        pytest.param("yolov8n", "/model.10/", UPSAMPLING, id="v8 neck"),
        pytest.param("yolov8n", "/model.22/cv2.0/", DETECT, id="v8 Detect"),
        pytest.param("yolov9t", "/model.2/", ELAN1, id="v9 ELAN1"),
        pytest.param("yolov9t", "/model.3/", ACONV, id="v9 AConv"),
        pytest.param("yolov10n", "/model.10/", PSA, id="v10 PSA"),
        pytest.param("yolov10n", "/model.22/", C2FCIB, id="v10 C2fCIB"),
        pytest.param("yolo11n", "/model.8/", C3K2, id="11 C3k2"),
        pytest.param("yolo11n", "/model.10/m/m.0/", C2PSA, id="11 C2PSA"),
        pytest.param("yolo12n", "/model.6/m.0/m.0.0/", ABLOCK, id="12 ABlock"),
        pytest.param("yolo26n", "/model.9/", SPPF_OF_26, id="26 SPPF"),
        pytest.param("yolo26n", "/model.23/one2one_cv3.0/", ONE2ONE, id="26 Detect"),
        pytest.param("rtdetr", "/model.0/", HGSTEM, id="RT-DETR HGStem"),
        pytest.param("rtdetr", "/model.6/", HGBLOCK, id="RT-DETR HGBlock"),
        pytest.param("rtdetr", "/model.16/", REPC3, id="RT-DETR RepC3"),
    ],
)
def test_a_block_is_placed_as_by_hand(
    family: str, module: str, expected: str, model_of: ModelOf, told: Told
) -> None:
    model = model_of(family)

    assert told(model, place(model, exclude=("head",)), module) == expected


def test_of_rtdetr_s_decoder_only_what_looks_at_all_cells_is_int8(model_of: ModelOf) -> None:
    placement = place(model_of("rtdetr"), exclude=("head",))

    decoder = [name.removeprefix("/model.28/") for name in placement.nodes if name.startswith("/model.28/")]
    reasons = {one.reason for one in placement.left_out if one.node.startswith("/model.28/")}
    assert sorted(name.rpartition("/")[0] for name in decoder) == [
        "decoder/layers.0/cross_attn/value_proj",
        "decoder/layers.1/cross_attn/value_proj",
        "enc_output/enc_output.0",
        "input_proj.0/input_proj.0.0",
        "input_proj.1/input_proj.1.0",
        "input_proj.2/input_proj.2.0",
    ]
    assert reasons == {"works on candidates chosen by score", "output convolution of the head"}


@pytest.mark.parametrize("family", [*FAMILIES, "rtdetr"])
def test_nearly_all_multiply_adds_are_int8(family: str, model_of: ModelOf) -> None:
    model = model_of(family)

    assert summarize(model, place(model, exclude=("head",))).macs_share > 0.93


@pytest.mark.parametrize("symmetric", [True, False], ids=["INT8", "UINT8"])
@pytest.mark.parametrize("family", [*FAMILIES, "rtdetr"])
def test_the_int8_graph_is_taken_and_stays_near(
    family: str, symmetric: bool, model_of: ModelOf, grids_for: GridsFor
) -> None:
    model = model_of(family)
    placement = place(model, exclude=("head",))

    made = insert_qdq(model, placement, grids_for(model, placement, pictures(1), symmetric=symmetric))

    onnx.checker.check_model(made, full_check=True)
    runtime = rules_for("tensorrt", "8.5", Dialect()) if symmetric else rules_for("openvino", "", Dialect())
    assert breaches(made, runtime) == []
    # Measured: 11 to 24 dB, with unsigned grids 14 to 26; with a scale of another tensor about 0.
    assert NoiseMeter(model, [pictures(1)]).sqnr_db(made) > (9 if symmetric else 12)
    with pytest.raises(ModelError, match="quantized already"):
        place(made, exclude=("head",))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_convolutions_of_small_models_are_large_enough_for_tensor_cores(
    family: str, model_of: ModelOf
) -> None:
    model = model_of(family)

    assert place(model, exclude=("head",), tensor_cores=True) == place(model, exclude=("head",))


def test_the_report_tells_of_each_module(model_of: ModelOf, grids_for: GridsFor) -> None:
    model = model_of("yolo11n")
    placement = place(model, exclude=("head",))

    text = describe(model, placement, grids_for(model, placement, pictures(1)))

    assert text.startswith("81 of 88 weighted operators in INT8, with 98.")
    assert "\n/model.10: 7 of 7 weighted operators in INT8\n" in text
    assert "product of two activations" in text
