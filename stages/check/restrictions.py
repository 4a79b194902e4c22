"""Restrictions of operators: which of them a node keeps, breaks, or leaves open.

A rule belongs to the words in which the source states the restriction, so that it holds for the versions, and
only for those, whose table has these words. Words that no rule belongs to cannot be checked in the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from stages.check import rules
from stages.check.rules import Rule, Verdict
from stages.check.view import View

if TYPE_CHECKING:
    from onnx import NodeProto


def judge(node: NodeProto, view: View, restriction: str) -> tuple[Verdict, str]:
    """Say whether a node keeps to a restriction, and the words it breaks or that stay open."""
    rest = restriction
    told: dict[Verdict, list[str]] = {"kept": [], "broken": [], "open": []}
    for words, rule in _rules(node.op_type).items():
        match = re.search(words, rest, re.IGNORECASE)
        if match is None:
            continue
        rest = rest.replace(match[0], "")
        told[rule(node, view)].append(match[0].strip(" ."))
    left = re.sub(r"[\s.]|\band\b", "", rest)
    if any(one.ref_attr_name for one in node.attribute):  # whoever calls the local function says what it is
        told["open"], told["broken"] = [*told["broken"], *told["open"]], []
    if told["broken"]:
        return "broken", "; ".join(told["broken"])
    if left:
        told["open"].append(re.sub(r"^[\s.]+|[\s.]+$", "", rest))
    return ("open", "; ".join(told["open"])) if told["open"] else ("kept", "")


def _rules(op: str) -> Mapping[str, Rule]:
    return {**_BY_OP.get(op, {}), **_GENERAL}


_ALL_MODES = ("half_pixel", "pytorch_half_pixel", "tf_half_pixel_for_nn", "asymmetric", "align_corners")
_RECURRENT: dict[str, Rule] = {
    r"For bidirectional \w+, activation functions .*? reverse pass": rules.same_directions,
    r"`input_forget` attribute must be 0": rules.integer("input_forget", 0, 0),
    r"`layout` attribute must be 0": rules.integer("layout", 0, 0),
}
_REDUCE: dict[str, Rule] = {r"`axes` must be an initializer": rules.constant(1)}
_SEED: dict[str, Rule] = {
    r"`seed` value is ignored by TensorRT": lambda n, v: (
        "kept" if rules.absent("seed")(n, v) == "kept" else "open"
    )
}
_GENERAL: dict[str, Rule] = {
    r"2D or 3D pooling only": rules.kernel,
    r"`dilations` must be empty or all ones": rules.dilations,
    r"`Indices` output tensor unsupported": rules.outputs(1),
    r"`[xy]_zero_point` must be (zero|0)": rules.zeros(2),
}
_BY_OP: dict[str, dict[str, Rule]] = {
    **{
        f"Reduce{kind}": _REDUCE
        for kind in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
    },
    **dict.fromkeys(("GRU", "LSTM", "RNN"), _RECURRENT),
    **{f"Random{kind}": _SEED for kind in ("Normal", "NormalLike", "Uniform", "UniformLike")},
    "Attention": {
        r"`Q`, `K`, `V` and `attn_mask` must be 4D": rules.all_of(
            *(rules.rank(index, 4) for index in range(4))
        ),
        r"`past_key`.*are unsupported": rules.all_of(
            rules.inputs(4), rules.outputs(1), rules.unset("qk_matmul_output_mode", "softcap")
        ),
    },
    "Constant": {
        r"`sparse_value`.*unsupported": rules.absent("sparse_value", "value_string", "value_strings")
    },
    "CumSum": {
        r"`axis` must be an initializer": rules.constant(1),
        r"`axis` must be a build-time constant": rules.built(1),
    },
    "DeformConv": {
        r"`input` must have 1D or 2D spatial dimensions": rules.rank(1, 3, 4),
        r"`pads` for .* must be the same": rules.same_pads,
    },
    "Dropout": {r"`is_training` must be .* False": rules.not_training},
    "Einsum": {
        r"Ellipsis and diagonal operations are not supported": rules.plain_einsum,
        r"Broadcasting between inputs is not supported": rules.no_broadcast,
    },
    "EyeLike": {r"`input` must have static dimensions": rules.fixed_shape},
    "GridSample": {r"Input must be 4D input": rules.rank(0, 4)},
    "Hardmax": {r"`axis` dimension of input must be a build-time constant": rules.fixed_axis},
    "If": {r"Output tensors of the two conditional branches .* different names": rules.branches},
    "InstanceNormalization": {
        r"Scales `scale` and biases `B` must be initializers": rules.all_of(
            rules.constant(1), rules.constant(2)
        ),
        r"Input rank must be >=3 & <=5": rules.rank(0, 3, 4, 5),
    },
    "LayerNormalization": {r"Only the first output `Y` is supported": rules.outputs(1)},
    "Loop": {r"Scan output length .* loop iterations": rules.fixed_carried},
    "OneHot": {r"`depth` must be a build-time constant": rules.built(1)},
    "Pad": {r"`axes` must be an initializer": rules.constant(3)},
    "Resize": {
        r"Supported resize transformation modes: .*?`align_corners`": rules.text(
            "coordinate_transformation_mode", "half_pixel", *_ALL_MODES
        ),
        r"Supported resize modes: `nearest`, `linear`": rules.text("mode", "nearest", "nearest", "linear"),
        r"Supported nearest modes: .*?`round_prefer_ceil`": rules.nearest,
        r"Supported aspect ratio policy: `stretch`": rules.text(
            "keep_aspect_ratio_policy", "stretch", "stretch"
        ),
        r"When `scales` is a tensor input, .*?rank\(input\)": rules.iota_axes,
        r"Antialiasing is not supported": rules.integer("antialias", 0, 0),
    },
    "ReverseSequence": {r"Dynamic input shapes are unsupported": rules.fixed_shape},
    "RotaryEmbedding": {r"`position_ids` must be INT64": rules.positions},
    "ScatterND": {
        r"`reduction` (other than `none` )?is not supported": rules.text("reduction", "none", "none")
    },
    "Slice": {r"`axes` must be an initializer": rules.constant(3)},
    "Squeeze": {
        r"`axes` must be an initializer": rules.constant(1),
        r"`axes` must be resolvable to a constant": rules.built(1),
    },
    "STFT": {
        r"`frame_step` and `window` must be an initializer": rules.all_of(
            rules.constant(1), rules.constant(2)
        ),
        r"Input must be real-valued": rules.real_valued,
    },
    "TensorScatter": {
        r"`past_cache` and `update` must be 4D": rules.all_of(rules.rank(0, 4), rules.rank(1, 4)),
        r"`axis` must be -2": rules.axis_before_last,
    },
    "TopK": {
        r"`K` input must be an initializer": rules.constant(1),
        r"`sorted` must be 1": rules.integer("sorted", 1, 1),
        r"`K` input must be less than 3840": rules.few,
    },
    "Unsqueeze": {
        r"`axes` must be a constant tensor": rules.constant(1),
        r"`axes` must be resolvable to a constant": rules.built(1),
    },
}
