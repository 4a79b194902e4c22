"""Findings that are expected of TensorRT versions, written by hand from the rows of its own tables.

Each row quotes what it rests on: onnx/onnx-tensorrt docs/operators.md of that version, its parser's
importers, its change log, or the issue that is named.
"""

from pathlib import Path

import pytest
from onnx import parser

from stages.check import check_file
from targets.profile import TargetProfile


def findings(
    folder: Path, version: str, body: str, *, inputs: str = "float[1, 3, 8, 8] x", opset: int = 17
) -> str:
    """Give the worst severity about the nodes of a model, "" where there is nothing."""
    header = f'<ir_version: 8, opset_import: ["": {opset}, "vendor": 1]>'
    text = f"{header} g ({inputs}) => (float[n] y) {{ {body} }}"
    (folder / "model.onnx").write_bytes(parser.parse_model(text).SerializeToString())
    profile = TargetProfile(name="t", device="t", runtime="tensorrt", runtime_version=version)
    found = {one.severity for one in check_file(folder / "model.onnx", profile) if one.op or not one.node}
    return "error" if "error" in found else "warning" if found else ""


LAYER_NORM = "y = LayerNormalization (x, s)"
LAYER_NORM_IN = "float[1, 3, 8, 8] x, float[8] s"
POOL = "y = MaxPool <kernel_shape = [2, 2]{}> (x)"
RESIZE = "r = Constant <value = float[4] {{1.0, 1.0, 2.0, 2.0}}> () y = Resize <{}> (x, , r)"
TOPK = "k = Constant <value = int64[1] {{{}}}> () y, i = TopK <{}> (x, k)"
OPEN_K = "float[1, 3, 8, 8] x, int64[1] k"
AXES = "a = Constant <value = int64[1] {0}> () y = ReduceMax (x, a)"
OPEN_AXES = "float[1, 3, 8, 8] x, int64[1] a"
QUANTIZE = (
    "s = Constant <value = float {{0.5}}> () z = Constant <value = int8 {{{}}}> () "
    "q = QuantizeLinear (x, s, z) y = DequantizeLinear (q, s, z)"
)
SCATTER_IN = "float[4] x, int64[1, 1] i, float[1] u"
GRID_IN = "float[1, 1, 2, 2, 2] x, float[1, 2, 2, 2, 3] g"
UNPOOL_IN = "float[1, 1, 2, 2] x, int64[1, 1, 2, 2] i"
BATCH_NMS = "y = NonMaxSuppression (b, s)"
BATCH_NMS_IN = "float[1, 9, 4] b, float[1, 2, 9] s"

ATTENTION = {"inputs": "float[1, 2, 8, 16] q, float[1, 2, 8, 16] k, float[1, 2, 8, 16] v", "opset": 23}
FLAT_ATTENTION = {"inputs": "float[1, 8, 32] q, float[1, 8, 32] k, float[1, 8, 32] v", "opset": 23}
HEADS = "y = Attention <q_num_heads = 2, kv_num_heads = 2> (q, k, v)"
MASKED = {**ATTENTION, "inputs": f"{ATTENTION['inputs']}, float[8, 8] m"}
CACHED = {**ATTENTION, "inputs": f"{ATTENTION['inputs']}, float[1, 2, 4, 16] c"}
CACHE = {"inputs": "float[1, 2, 8, 16] p, float[1, 2, 1, 16] u, int64[1] w", "opset": 24}
FLAT_CACHE = {"inputs": "float[1, 8, 16] p, float[1, 1, 16] u, int64[1] w", "opset": 24}
STFT = "s = Constant <value = int64 {4}> () y = STFT (x, s, , l)"
OPEN_STEP = {"inputs": "float[1, 64, 1] x, int64 s, int64 l"}
SIGNAL = "float[1, 64, {}] x, int64 l"
END = "b = Constant <value = int64[1] {{0}}> () e = Constant <value = int64[1] {{{}}}> () y = Slice (x, b, e)"
SHIFT = "c = Constant <value = int64[1] {{{}}}> () y = Add (x, c)"
FP64_SCALE = "c = Constant <value: tensor = double[1] {{{}}}> () y = Mul (x, c)"


@pytest.mark.parametrize(
    ("version", "verdict", "body", "more"),
    [
        # LayerNormalization | 8.5: N | 8.6: Y | 10.1: partial, only the first output `Y` is supported
        ("8.5.2", "error", LAYER_NORM, {"inputs": LAYER_NORM_IN}),
        ("8.6.2.3", "", LAYER_NORM, {"inputs": LAYER_NORM_IN}),
        ("10.3", "", LAYER_NORM, {"inputs": LAYER_NORM_IN}),
        ("10.0", "", "y, m = LayerNormalization (x, s)", {"inputs": LAYER_NORM_IN}),
        ("10.3", "error", "y, m = LayerNormalization (x, s)", {"inputs": LAYER_NORM_IN}),
        # Gelu | not in the tables of 8.5 and 8.6 | 10.0: Y
        ("8.5", "error", "y = Gelu (x)", {"opset": 17}),
        ("8.6", "error", "y = Gelu (x)", {"opset": 17}),
        ("10.3", "", "y = Gelu (x)", {"opset": 20}),
        # Mod, HardSwish | 8.5: N, but importer in builtin_op_importers.cpp of release/8.5-GA
        ("8.5.2", "", "y = Mod <fmod = 1> (x, x)", {}),
        ("8.5.2", "", "y = HardSwish (x)", {}),
        # Mish | not in the table of 8.6 | 10.0: Y
        ("8.6", "error", "y = Mish (x)", {"opset": 17}),
        ("10.0", "", "y = Mish (x)", {"opset": 18}),
        # Swish | 11.0 CHANGELOG: added; 10.16: not there
        ("10.16", "error", "y = Swish (x)", {"opset": 24}),
        ("11.0", "", "y = Swish (x)", {"opset": 24}),
        ("11.4.1", "", "y = Swish (x)", {"opset": 24}),
        # RMSNormalization | CHANGELOG of 10.15: added
        ("10.14", "error", "y = RMSNormalization (x, s)", {"inputs": LAYER_NORM_IN, "opset": 23}),
        ("10.15", "", "y = RMSNormalization (x, s)", {"inputs": LAYER_NORM_IN, "opset": 23}),
        # opset | 8.x: 17 | 10.0 to 10.3: 9 to 20 | 10.9: 22 | 10.13: 24
        ("8.5", "", "y = Relu (x)", {"opset": 17}),
        ("8.5", "error", "y = Relu (x)", {"opset": 18}),
        ("8.6", "error", "y = Relu (x)", {"opset": 18}),
        ("10.0", "", "y = Relu (x)", {"opset": 20}),
        ("10.3", "error", "y = Relu (x)", {"opset": 21}),
        ("10.9", "", "y = Relu (x)", {"opset": 22}),
        ("10.7", "warning", "y = Relu (x)", {"opset": 21}),
        ("10.13", "", "y = Relu (x)", {"opset": 24}),
        ("10.3", "warning", "y = Relu (x)", {"opset": 8}),
        # TopK | 8.5: `K` input must be an initializer | 10.1: `sorted` must be 1. `K` input less than 3840.
        ("8.5", "", TOPK.format(3, "axis = -1"), {}),
        ("8.5", "error", "y, i = TopK (x, k)", {"inputs": OPEN_K}),
        ("8.6", "", "y, i = TopK (x, k)", {"inputs": OPEN_K}),
        ("10.1", "", TOPK.format(3839, "axis = -1"), {}),
        ("10.1", "error", TOPK.format(3840, "axis = -1"), {}),
        ("10.13", "error", TOPK.format(3, "sorted = 0"), {}),
        ("8.5", "", TOPK.format(4000, "sorted = 0"), {}),
        # MaxPool | 2D or 3D pooling only. `Indices` output tensor unsupported | 10.0: `dilations` all ones
        ("8.5", "", POOL.format(""), {}),
        ("8.5", "", POOL.format(", dilations = [2, 2]"), {}),
        ("10.3", "", POOL.format(", dilations = [1, 1]"), {}),
        ("10.3", "error", POOL.format(", dilations = [2, 2]"), {}),
        ("10.3", "error", "y = MaxPool <kernel_shape = [2]> (x)", {"inputs": "float[1, 3, 8] x"}),
        ("8.6", "error", "y, i = MaxPool <kernel_shape = [2, 2]> (x)", {}),
        # Resize | modes: `nearest`, `linear` | Antialiasing is not supported (10.0)
        ("8.5", "", RESIZE.format('mode = "nearest"'), {}),
        ("8.5", "", RESIZE.format('mode = "linear", coordinate_transformation_mode = "align_corners"'), {}),
        ("8.5", "error", RESIZE.format('mode = "cubic"'), {}),
        ("10.16", "error", RESIZE.format('mode = "cubic"'), {}),
        ("10.16", "error", RESIZE.format('mode = "linear", antialias = 1'), {"opset": 18}),
        ("10.16", "error", RESIZE.format('coordinate_transformation_mode = "tf_crop_and_resize"'), {}),
        # Reduce* | 10.0: `axes` must be an initializer
        ("10.3", "", AXES, {"opset": 18}),
        ("10.3", "error", "y = ReduceMax (x, a)", {"inputs": OPEN_AXES, "opset": 18}),
        # Squeeze | 8.5: `axes` must be an initializer | 10.13: resolvable to a constant
        ("8.5", "error", "y = Squeeze (x, a)", {"inputs": OPEN_AXES}),
        ("10.13", "error", "y = Squeeze (x, a)", {"inputs": OPEN_AXES}),
        # QuantizeLinear | `y_zero_point` must be 0
        ("8.5", "", QUANTIZE.format(0), {}),
        ("8.5", "error", QUANTIZE.format(3), {}),
        ("11.1", "error", QUANTIZE.format(3), {}),
        # ScatterND | 10.0: `reduction` is not supported
        ("10.3", "error", 'y = ScatterND <reduction = "add"> (x, i, u)', {"inputs": SCATTER_IN}),
        ("10.3", "", "y = ScatterND (x, i, u)", {"inputs": SCATTER_IN}),
        # GridSample | 10.1: Input must be 4D input.
        ("10.3", "error", "y = GridSample (x, g)", {"inputs": GRID_IN, "opset": 20}),
        # Einsum | 8.5: Ellipsis and diagonal operations are not supported
        ("8.5", "error", 'y = Einsum <equation = "ii->i"> (x)', {"inputs": "float[4, 4] x"}),
        ("8.5", "", 'y = Einsum <equation = "ij->ji"> (x)', {"inputs": "float[4, 4] x"}),
        # NonMaxSuppression | Y, INMSLayer: the size of the output depends on the data
        ("8.5", "warning", BATCH_NMS, {"inputs": BATCH_NMS_IN}),
        ("11.1", "warning", BATCH_NMS, {"inputs": BATCH_NMS_IN}),
        # MaxUnpool, Unique, DynamicQuantizeLinear | N everywhere
        ("11.1", "error", "y = MaxUnpool <kernel_shape = [2, 2]> (x, i)", {"inputs": UNPOOL_IN}),
        ("8.5", "error", "y, s, z = DynamicQuantizeLinear (x)", {}),
        # plugins: EfficientNMS_TRT deprecated in 10.12, EfficientNMS_ONNX_TRT removed in 10.16
        ("8.5", "warning", "y = EfficientNMS_TRT (x)", {}),
        ("11.1", "warning", "y = vendor.EfficientNMS_TRT (x)", {}),
        ("10.16", "error", "y = EfficientNMS_ONNX_TRT (x)", {}),
        ("10.3", "error", "y = vendor.YoloLayer_TRT (x)", {}),
        # ultralytics/ultralytics#24367: 10.2.0 is broken for YOLO exports
        ("10.2.0", "warning", "y = Relu (x)", {}),
        ("10.1", "", "y = Relu (x)", {}),
        # HannWindow | 10.3: N | 10.13: Y | between: not known
        ("10.3", "error", "y = HannWindow (n)", {"inputs": "int64 n"}),
        ("10.10", "warning", "y = HannWindow (n)", {"inputs": "int64 n"}),
        # UINT8: only at the border of the network
        ("10.3", "error", "y = Add (x, x)", {"inputs": "uint8[4] x"}),
        ("10.3", "", "y = Cast <to = 1> (x)", {"inputs": "uint8[4] x"}),
        # types that TensorRT does not have (NvInferRuntimeBase.h, DataType)
        ("10.16", "error", "y = Add (x, x)", {"inputs": "uint16[4] x"}),
        # "attempt to cast down INT64 to INT32 and DOUBLE down to FLOAT, clamping values" (docs/operators.md)
        ("8.5", "", "y = Add (x, x)", {"inputs": "int64[4] x"}),
        ("8.5", "warning", "y = Add (x, x)", {"inputs": "double[4] x"}),
        ("10.3", "warning", "y = Add (x, x)", {"inputs": "double[4] x"}),
        ("11.1", "warning", "d = Cast <to = 11> (x) y = Cast <to = 1> (d)", {}),
        ("10.3", "warning", FP64_SCALE.format(0.5), {"inputs": "double[4] x"}),
        ("10.3", "error", "y = Bernoulli (x)", {"inputs": "double[4] x"}),
        ("8.5", "", SHIFT.format(2**31 - 1), {"inputs": "int64[4] x"}),
        ("8.5", "warning", SHIFT.format(2**31), {"inputs": "int64[4] x"}),
        ("8.6", "warning", SHIFT.format(-(2**31) - 1), {"inputs": "int64[4] x"}),
        ("10.3", "", SHIFT.format(2**31), {"inputs": "int64[4] x"}),
        ("8.5", "", END.format(2**63 - 1), {"inputs": "float[4] x"}),
        # Attention | 10.13: N | 10.14: `Q`, `K`, `V` and `attn_mask` must be 4D. `past_key`, ...
        # inputs, ... outputs, and `qk_matmul_output_mode`, `softcap` attributes are unsupported
        ("10.13", "error", "y = Attention (q, k, v)", ATTENTION),
        ("10.14", "", "y = Attention (q, k, v)", ATTENTION),
        ("10.14", "error", HEADS, FLAT_ATTENTION),
        ("11.1", "error", "y = Attention (q, k, v, m)", MASKED),
        ("11.1", "error", "y, a, b = Attention (q, k, v, , c, c)", CACHED),
        ("11.1", "error", "y, , , o = Attention (q, k, v)", ATTENTION),
        ("11.1", "error", "y = Attention <softcap = 2.0> (q, k, v)", ATTENTION),
        ("11.1", "error", "y = Attention <qk_matmul_output_mode = 1> (q, k, v)", ATTENTION),
        ("11.1", "warning", "y = Attention <softcap = 0.0> (q, k, v)", ATTENTION),
        # TensorScatter | CHANGELOG of 10.15: added | `past_cache` and `update` must be 4D. `axis` must be -2.
        ("10.14", "error", "y = TensorScatter (p, u, w)", CACHE),
        ("10.15", "", "y = TensorScatter (p, u, w)", CACHE),
        ("10.16", "", "y = TensorScatter <axis = -2> (p, u, w)", CACHE),
        ("10.16", "warning", "y = TensorScatter <axis = 2> (p, u, w)", CACHE),
        ("10.16", "error", "y = TensorScatter <axis = 1> (p, u, w)", CACHE),
        ("10.16", "error", "y = TensorScatter (p, u, w)", FLAT_CACHE),
        # STFT | 10.3: N | 10.13: `frame_step` and `window` must be an initializer. Input must be real-valued.
        ("10.3", "error", STFT, {"inputs": SIGNAL.format(1)}),
        ("10.13", "", STFT, {"inputs": SIGNAL.format(1)}),
        ("10.13", "error", STFT, {"inputs": SIGNAL.format(2)}),
        ("10.13", "warning", STFT, {"inputs": SIGNAL.format("n")}),
        ("10.13", "error", "y = STFT (x, s, , l)", OPEN_STEP),
    ],
)  # fmt: skip
def test_finding_is_what_the_row_says(
    tmp_path: Path, version: str, verdict: str, body: str, more: dict[str, object]
) -> None:
    assert findings(tmp_path, version, body, **more) == verdict  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sm", "jetpack", "told"),
    [("8.7", "7.2", True), ("8.7", "7.2.1", True), ("11.0", "7.2", False), ("8.7", "", False)],
)
def test_orin_on_jetpack_7_2_is_warned_that_its_tensorrt_has_no_resources_for_it(
    tmp_path: Path, sm: str, jetpack: str, told: bool
) -> None:
    # OE4T/meta-tegra#2240: builder resources for SM 7.5 to 12.0 and PTX, none for SM 8.7
    text = '<ir_version: 8, opset_import: ["": 17]> g (float[4] x) => (float[4] y) { y = Relu (x) }'
    (tmp_path / "model.onnx").write_bytes(parser.parse_model(text).SerializeToString())
    profile = TargetProfile(
        name="t", device="t", runtime="tensorrt", runtime_version="10.16.2.10", sm=sm, jetpack=jetpack
    )

    found = check_file(tmp_path / "model.onnx", profile)

    assert [one.severity for one in found] == (["warning"] if told else [])
    assert all("OE4T/meta-tegra#2240" in one.reason and "JetPack 6" in one.remedy for one in found)
