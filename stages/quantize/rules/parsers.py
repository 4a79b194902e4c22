"""Parser rules: what one version of one runtime takes of an explicit Q/DQ graph, as data.

Sources: onnx-tensorrt, `QuantDequantLinearHelper` (release/8.5-GA builtin_op_importers.cpp; 10.x
onnxOpImporters.cpp); NvInfer.h of 8.5, 10.3 and 10.16, IQuantizeLayer and IDequantizeLayer; ONNX's
definitions of QuantizeLinear and DequantizeLinear.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from onnx import TensorProto

from targets.errors import UsageError
from targets.operators import load_tensorrt_operators
from targets.profile import Dialect, RuntimeName

Typing = Literal["free", "equal", "half"]

HALF_OPSET = 19  # the first whose QuantizeLinear and DequantizeLinear take FP16
HALVES = frozenset({TensorProto.FLOAT16, TensorProto.BFLOAT16})
_RELAXED = (10, 16)  # the TensorRT version from which on FP32 scales go with any data


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What one version of one runtime takes.

    Attributes:
        reader: Its name, for messages.
        opset_max: Newest operator set of ai.onnx; None: whatever the runtime says itself.
        fewest_inputs: A QuantizeLinear or DequantizeLinear must have.
        scales: Element types that scales may have.
        symmetric: Zero points are 0, and INT8.
        typing: How the types of a QuantizeLinear's data and scale go together: `free`; `equal`; `half`: equal
            where the scale is FP16 or BF16.
        tensorrt: TensorRT's other rules hold: per-tensor activations, float bias, and Q/DQ where its fusions
            want them.
    """

    reader: str
    opset_max: int | None
    fewest_inputs: int = 2
    scales: frozenset[int] = frozenset({TensorProto.FLOAT, *HALVES})
    symmetric: bool = True
    typing: Typing = "free"
    tensorrt: bool = True


def rules_for(runtime: RuntimeName, version: str, dialect: Dialect) -> Rules:
    """Give the rules of a runtime for graphs of a dialect.

    Args:
        runtime: That is to read the graph.
        version: Of it, as `10.3` or `10.3.0.30`; only TensorRT's matters.
        dialect: As the target's profile has it.

    Raises:
        UsageError: The runtime takes no graph of this dialect.
        UnsupportedError: Nothing is known of this version of TensorRT.
    """
    if runtime == "tensorrt":
        rules = _tensorrt(version)
    else:
        rules = Rules(reader=runtime, opset_max=None, symmetric=False, tensorrt=False)
    faults = list(_contradictions(rules, dialect))
    if faults:
        raise UsageError(
            f"The target's dialect does not suit {rules.reader}: {'; '.join(faults)}.",
            hint="Correct `dialect` in the target's profile.",
        )
    return rules


def _tensorrt(version: str) -> Rules:
    table = load_tensorrt_operators(version)
    major, minor = (int(part) for part in f"{version}.0".split(".")[:2])
    if major < 10:
        # Exactly three inputs; scales are read as float*, whatever they are.
        only_float = frozenset({TensorProto.FLOAT})
        return Rules(
            reader=f"TensorRT {version}", opset_max=table.opset_max, fewest_inputs=3, scales=only_float
        )
    relaxed = (major, minor) >= _RELAXED
    return Rules(
        reader=f"TensorRT {version}", opset_max=table.opset_max, typing="half" if relaxed else "equal"
    )


def _contradictions(rules: Rules, dialect: Dialect) -> Iterator[str]:
    if rules.opset_max is not None and dialect.opset > rules.opset_max:
        yield f"opset {dialect.opset}, it reads up to {rules.opset_max}"
    if dialect.scale_dtype == "float16" and TensorProto.FLOAT16 not in rules.scales:
        yield "FP16 scales, it reads FP32"
    if dialect.scale_dtype == "float16" and dialect.opset < HALF_OPSET:
        yield f"FP16 scales at opset {dialect.opset}, ONNX has them from {HALF_OPSET} on"
    if rules.symmetric and not dialect.symmetric:
        yield "zero points other than 0"
