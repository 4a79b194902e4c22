"""Dialects: one Q/DQ graph, in the opset and with the types that a target takes."""

from __future__ import annotations

from collections.abc import Collection

import onnx

from stages.quantize.half.convert import to_half
from stages.quantize.half.decoding import decoding_of
from stages.quantize.opset import raise_opset
from targets.profile import Dialect


def to_dialect(
    model: onnx.ModelProto, dialect: Dialect, *, keep_fp32: Collection[str] | None = None
) -> onnx.ModelProto:
    """Give a graph in a dialect; at opset 17 with FP32 scales that is the graph itself.

    With FP16 scales, everything that is not INT8 is FP16 (a strongly typed network for TensorRT), but for the
    inputs, the outputs and `keep_fp32`.

    Args:
        model: As `insert_qdq` makes it, or FP32.
        dialect: Of the target. Zero points and the range of weights are the quantizer's affair.
        keep_fp32: Names of nodes that stay in FP32, as `find_fragile` finds them in the float model; None:
            the decoding of the head. FP16 has too few bits for pixels: from 512 on its step is half of one.

    Raises:
        ModelError: The model cannot be converted to the dialect's opset, or not to FP16.
    """
    raised = raise_opset(model, dialect.opset)
    if dialect.scale_dtype == "float32":
        return raised
    return to_half(raised, decoding_of(raised) if keep_fp32 is None else keep_fp32)
