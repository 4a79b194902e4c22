"""Opset: which version of ONNX's operators a model uses, and how it comes to a newer one."""

from __future__ import annotations

import onnx
from onnx import helper, version_converter

from stages.quantize.graph import name_nodes
from targets.errors import ModelError

_REFUSALS = (onnx.checker.ValidationError, onnx.shape_inference.InferenceError)


def opset_of(model: onnx.ModelProto) -> int:
    """Give the version of ONNX's own operators."""
    return next((one.version for one in model.opset_import if one.domain in {"", "ai.onnx"}), 1)


def raise_opset(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Give the model at `opset` by ONNX's own converter; the model itself if it is there, or beyond, already.

    Nodes keep their names, and those without get one.

    Raises:
        ModelError: It has local functions, or the converter does not know an operator.
    """
    present = opset_of(model)
    if present >= opset:
        return model
    if model.functions:
        raise ModelError(
            f"The model cannot be raised from opset {present} to {opset}: it has local functions.",
            hint=f"Export it at opset {opset}, or inline the functions with onnx.inliner.",
        )
    try:
        result = version_converter.convert_version(model, opset)
        onnx.checker.check_model(result, full_check=True)
    except (RuntimeError, ValueError, *_REFUSALS) as exc:
        raise ModelError(
            f"The model cannot be raised from opset {present} to {opset}: {exc}",
            hint=f"Export it at opset {opset}.",
        ) from exc
    result.ir_version = max(result.ir_version, helper.find_min_ir_version_for(result.opset_import))
    return name_nodes(result)
