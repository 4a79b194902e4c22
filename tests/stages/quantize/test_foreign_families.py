"""Foreign detectors: placement on YOLOX and on a NanoDet, with the expected placement written by hand."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from stages.onnx_files import load_onnx
from stages.quantize.foreign import prepared
from stages.quantize.insert import insert_qdq
from stages.quantize.placement import place
from stages.quantize.ranges import Grid
from stages.quantize.ranking.noise import NoiseMeter
from stages.quantize.rules import breaches, rules_for
from targets.errors import ModelError
from targets.profile import Dialect

Build = Callable[..., onnx.ModelProto]
Told = Callable[..., str]
GridsFor = Callable[..., dict[str, Grid]]


class NanoDet:
    """Writes a NanoDet-Plus with two levels: ShuffleNetV2, GhostPAN, and a head of depthwise convolutions.

    `a__b` is the name of what the graph then calls `a/b`.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.constants: dict[str, np.ndarray] = {
            "double": np.array([1, 1, 2, 2], np.float32),
            "halves": np.array([8, 8]),
            "class_side": np.array([2, 8]),
        }

    def conv(
        self, name: str, source: str, shape: tuple[int, int, int], *, act: bool = True, **settings: int
    ) -> str:
        """Add Conv → LeakyReLU; `shape` is (outputs, inputs by group, side of the kernel)."""
        outs, ins, side = shape
        self.shapes[f"{name}__w"], self.shapes[f"{name}__b"] = (outs, ins, side, side), (outs,)
        stride, group = settings.get("stride", 1), settings.get("group", 1)
        attributes = f"strides = [{stride}, {stride}], pads = {[side // 2] * 4}, group = {group}"
        self.lines.append(f"{name}__conv = Conv <{attributes}> ({source}, {name}__w, {name}__b)")
        if not act:
            return f"{name}__conv"
        self.lines.append(f"{name}__act__leaky = LeakyRelu <alpha = 0.1> ({name}__conv)")
        return f"{name}__act__leaky"

    def depthwise(self, name: str, source: str, channels: int, *, stride: int = 1, act: bool = False) -> str:
        return self.conv(name, source, (channels, 1, 3), act=act, stride=stride, group=channels)

    def shuffle(self, name: str, parts: tuple[str, str], channels: int, side: int) -> str:
        self.constants[f"{name}__apart"] = np.array([1, 2, channels // 2, side, side])
        self.constants[f"{name}__whole"] = np.array([1, channels, side, side])
        self.lines += [
            f"{name}__concat = Concat <axis = 1> ({', '.join(parts)})",
            f"{name}__groups = Reshape ({name}__concat, {name}__apart)",
            f"{name}__swap = Transpose <perm = [0, 2, 1, 3, 4]> ({name}__groups)",
            f"{name}__flat = Reshape ({name}__swap, {name}__whole)",
        ]
        return f"{name}__flat"

    def down(self, name: str, source: str, ins: int, side: int) -> str:
        left = self.depthwise(f"{name}__left_dw", source, ins, stride=2)
        left = self.conv(f"{name}__left_pw", left, (ins, ins, 1))
        right = self.conv(f"{name}__pw1", source, (ins, ins, 1))
        right = self.depthwise(f"{name}__dw", right, ins, stride=2)
        right = self.conv(f"{name}__pw2", right, (ins, ins, 1))
        return self.shuffle(name, (left, right), 2 * ins, side // 2)

    def keep(self, name: str, source: str, side: int) -> str:
        self.lines.append(f"{name}__split, {name}__half = Split <axis = 1> ({source}, halves)")
        right = self.conv(f"{name}__pw1", f"{name}__half", (8, 8, 1))
        right = self.depthwise(f"{name}__dw", right, 8)
        right = self.conv(f"{name}__pw2", right, (8, 8, 1))
        return self.shuffle(name, (f"{name}__split", right), 16, side)

    def ghost(self, name: str, source: str, ins: int) -> str:
        """Add a bottleneck of two ghost modules, 8 channels, with a convolved shortcut."""
        made = source
        for number, act in ((1, True), (2, False)):
            primary = self.conv(f"{name}__primary{number}", made, (4, ins if number == 1 else 8, 1), act=act)
            cheap = self.depthwise(f"{name}__cheap{number}", primary, 4, act=act)
            made = f"{name}__concat{number}"
            self.lines.append(f"{made} = Concat <axis = 1> ({primary}, {cheap})")
        shortcut = self.depthwise(f"{name}__shortcut_dw", source, ins)
        shortcut = self.conv(f"{name}__shortcut_pw", shortcut, (8, ins, 1), act=False)
        self.lines.append(f"{name}__sum = Add ({made}, {shortcut})")
        return f"{name}__sum"

    def head(self, name: str, source: str, cells: int) -> str:
        """Add two classes and eight bins, as rows of cells."""
        self.constants[f"{name}__shape"] = np.array([1, 10, cells])
        made = self.depthwise(f"{name}__dw", source, 8, act=True)
        made = self.conv(f"{name}__pw", made, (8, 8, 1))
        made = self.conv(f"{name}__out", made, (10, 8, 1), act=False)
        self.lines += [
            f"{name}__cls, {name}__reg = Split <axis = 1> ({made}, class_side)",
            f"{name}__scores = Sigmoid ({name}__cls)",
            f"{name}__joined = Concat <axis = 1> ({name}__scores, {name}__reg)",
            f"{name}__rows = Reshape ({name}__joined, {name}__shape)",
        ]
        return f"{name}__rows"

    def write(self) -> None:
        stem = self.conv("stem", "images", (8, 3, 3), stride=2)
        self.lines.append(
            f"pool = MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> ({stem})"
        )
        near = self.keep("stage2_1", self.down("stage2_0", "pool", 8, 16), 8)
        far = self.down("stage3_0", near, 16, 8)
        near, far = self.conv("reduce0", near, (8, 16, 1)), self.conv("reduce1", far, (8, 32, 1))
        self.lines += [
            f'upsample = Resize <mode = "linear"> ({far}, , double)',
            f"top_down = Concat <axis = 1> (upsample, {near})",
        ]
        near = self.ghost("ghost0", "top_down", 16)
        down = self.conv("down_pw", self.depthwise("down_dw", near, 8, stride=2, act=True), (8, 8, 1))
        self.lines.append(f"bottom_up = Concat <axis = 1> ({down}, {far})")
        far = self.ghost("ghost1", "bottom_up", 16)
        rows = (self.head("head0", near, 64), self.head("head1", far, 16))
        self.lines += [
            f"all = Concat <axis = 2> ({', '.join(rows)})",
            "output0 = Transpose <perm = [0, 2, 1]> (all)",
        ]


@pytest.fixture(scope="module")
def nanodet(build: Build) -> onnx.ModelProto:
    writer = NanoDet()
    writer.write()
    model = build(
        " ".join(writer.lines),
        writer.shapes,
        writer.constants,
        source="float[1, 3, 64, 64] images",
        output="float[1, 80, 10] output0",
    )
    for node in model.graph.node:
        node.name = node.name.replace("__", "/")
    return prepared(model)


@pytest.fixture(scope="module")
def yolox(test_data: Path) -> onnx.ModelProto:
    return prepared(load_onnx(test_data / "weights" / "yolox_nano.onnx"))


@pytest.fixture(scope="module")
def cells(test_data: Path) -> np.ndarray:
    """Give a picture of blood cells as YOLOX takes it, (1, 3, 416, 416), BGR, 0 … 255."""
    file = min((test_data / "bccd-mini").rglob("*.jpg"))
    pixels = cv2.resize(cv2.imread(str(file)), (416, 416))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32)


SHUFFLE_BLOCK = """\
split <- stage2_0/flat
pw1/conv <- split:1
dw/conv <- pw1/act/leaky
pw2/conv <- dw/conv
concat <- split:0, pw2/act/leaky
groups <- concat
swap <- groups
flat <- swap
one scale: stage2_0/left_pw/act/leaky, stage2_0/pw2/act/leaky, stage2_0/concat, stage2_0/groups, \
stage2_0/swap, stage2_0/flat, split:0, split:1, pw2/act/leaky, concat, groups, swap, flat
"""
NECK = """\
reduce0/conv <- stage2_1/flat
reduce1/conv <- stage3_0/flat
top_down <- upsample, reduce0/act/leaky
one scale: reduce0/act/leaky, upsample, top_down
one scale: reduce1/act/leaky, down_pw/act/leaky, bottom_up
float: upsample
"""
GHOST_BOTTLENECK = """\
primary1/conv <- top_down
cheap1/conv <- primary1/act/leaky
concat1 <- primary1/act/leaky, cheap1/act/leaky
primary2/conv <- concat1
cheap2/conv <- primary2/conv
shortcut_dw/conv <- top_down
shortcut_pw/conv <- shortcut_dw/conv
one scale: primary1/act/leaky, cheap1/act/leaky, concat1
float: concat2, sum
"""
NANODET_HEAD = """\
dw/conv <- ghost0/sum
pw/conv <- dw/act/leaky
float: out/conv, cls, scores, joined, rows
"""


def test_a_shuffle_block_moves_everything_on_one_scale(nanodet: onnx.ModelProto, told: Told) -> None:
    assert told(nanodet, place(nanodet, exclude=("head",)), "stage2_1/") == SHUFFLE_BLOCK


def test_bilinear_upsampling_stays_in_float(nanodet: onnx.ModelProto, told: Told) -> None:
    placement = place(nanodet, exclude=("head",))

    assert told(nanodet, placement, first="reduce0/conv", last="top_down") == NECK


def test_a_ghost_bottleneck_adds_two_fresh_branches_in_float(nanodet: onnx.ModelProto, told: Told) -> None:
    assert told(nanodet, place(nanodet, exclude=("head",)), "ghost0/") == GHOST_BOTTLENECK


def test_of_a_nanodet_head_only_the_last_convolution_stays_in_float(
    nanodet: onnx.ModelProto, told: Told
) -> None:
    assert told(nanodet, place(nanodet, exclude=("head",)), "head0/") == NANODET_HEAD


# Focus: four Slices a pixel apart, each along both sides.
FOCUS = """\
Slice_4 <- images
Slice_9 <- Slice_4
Slice_14 <- images
Slice_19 <- Slice_14
Slice_24 <- images
Slice_29 <- Slice_24
Slice_34 <- images
Slice_39 <- Slice_34
Concat_40 <- Slice_9, Slice_29, Slice_19, Slice_39
Conv_41 <- Concat_40
Conv_44 <- Mul_43
one scale: images, Slice_4, Slice_9, Slice_14, Slice_19, Slice_24, Slice_29, Slice_34, Slice_39, Concat_40
"""
# CSP: two convolutions side by side, behind one of them a bottleneck (1×1, then depthwise and 1×1).
CSP = """\
Conv_50 <- Mul_49
Conv_53 <- Mul_49
Conv_56 <- Mul_52
Conv_59 <- Mul_58
Conv_62 <- Mul_61
Add_65 <- Mul_52
Concat_66 <- Add_65, Mul_55
Conv_67 <- Concat_66
one scale: Mul_55, Add_65, Concat_66
"""
# One level: Conv_314 gives scores, 327 boxes, 328 objectness.
YOLOX_HEAD = """\
Conv_299 <- Mul_246
Conv_302 <- Mul_301
Conv_305 <- Mul_304
Conv_308 <- Mul_307
Conv_311 <- Mul_310
Conv_315 <- Mul_301
Conv_318 <- Mul_317
Conv_321 <- Mul_320
Conv_324 <- Mul_323
float: Conv_314, Conv_327, Conv_328, Sigmoid_329, Sigmoid_330, Concat_331
"""


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        pytest.param("Slice_4", "Conv_44", FOCUS, id="Focus"),
        pytest.param("Conv_50", "Conv_67", CSP, id="CSP"),
        pytest.param("Conv_299", "Concat_331", YOLOX_HEAD, id="head"),
    ],
)
def test_blocks_of_yolox_are_placed_as_by_hand(
    yolox: onnx.ModelProto, told: Told, first: str, last: str, expected: str
) -> None:
    assert told(yolox, place(yolox, exclude=("head",)), first=first, last=last) == expected


def test_yolox_is_of_an_opset_without_q_dq_and_is_raised(yolox: onnx.ModelProto, test_data: Path) -> None:
    before = load_onnx(test_data / "weights" / "yolox_nano.onnx")

    assert [one.version for one in before.opset_import] == [11]
    assert [one.version for one in yolox.opset_import] == [17]
    assert [node.name for node in before.graph.node] == [node.name for node in yolox.graph.node]


# With min-max ranges. Of YOLOX, the output of the first convolution reaches 74, which alone makes 13 dB.
NEAR_DB = {"yolox": 8, "nanodet": 40}


@pytest.mark.parametrize("symmetric", [True, False], ids=["INT8", "UINT8"])
@pytest.mark.parametrize("family", ["yolox", "nanodet"])
def test_the_int8_graph_is_taken_and_stays_near(
    family: str, symmetric: bool, request: pytest.FixtureRequest, grids_for: GridsFor
) -> None:
    model = request.getfixturevalue(family)
    images = request.getfixturevalue("cells")
    if family == "nanodet":
        images = images[:, :, 100:164, 100:164] / 255
    placement = place(model, exclude=("head",))

    made = insert_qdq(model, placement, grids_for(model, placement, images, symmetric=symmetric))

    onnx.checker.check_model(made, full_check=True)
    runtime = rules_for("tensorrt", "8.5", Dialect()) if symmetric else rules_for("openvino", "", Dialect())
    assert breaches(made, runtime) == []
    with pytest.raises(ModelError, match="quantized already"):
        place(made, exclude=("head",))
    assert NoiseMeter(model, [images]).sqnr_db(made) > NEAR_DB[family]
