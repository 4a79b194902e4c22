"""Constants: stored values, and what becomes of them in FP16."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from targets.errors import ModelError

FP16_MAX = 65504.0  # IEEE 754 binary16: (2 - 2**-10) * 2**15
FP16_NORMAL = 2.0**-14  # below, there are fewer than 11 significant bits
FP16_TINY = 2.0**-24  # the smallest above 0


def to_float16(values: NDArray[np.float32], name: str, reader: str) -> NDArray[np.float16]:
    """Round to the nearest FP16 values; infinities stay what they are.

    Args:
        values: Of any shape.
        name: Of the tensor, for the message.
        reader: A node that is to read it in FP16, likewise.

    Raises:
        ModelError: One is finite and beyond FP16.
    """
    with np.errstate(over="ignore"):
        halved = values.astype(np.float16)
    lost = np.isfinite(values) & ~np.isfinite(halved)
    if lost.any():
        worst = float(np.abs(values[lost]).max())
        raise ModelError(
            f"Tensor {name}, which {reader} reads, holds {worst:.6g}, which is beyond FP16 ({FP16_MAX:.0f}).",
            hint=f"Keep {reader} in FP32; `find_fragile` finds such nodes.",
        )
    return halved


def store_constants(model: onnx.ModelProto) -> None:
    """Turn Constant nodes with FP32 values into stored tensors, so that each reader can have its own type."""
    graph = model.graph
    outputs = {one.name for one in graph.output}
    kept = []
    for node in graph.node:
        values = None if node.op_type != "Constant" or node.output[0] in outputs else _values(node)
        if values is None:
            kept.append(onnx.NodeProto.FromString(node.SerializeToString()))
        else:
            graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
    del graph.node[:]
    graph.node.extend(kept)


def _values(node: onnx.NodeProto) -> NDArray[np.float32] | None:
    """Give what an FP32 Constant holds; None for any other."""
    for one in node.attribute:
        if one.name in {"value_float", "value_floats"}:
            return np.array(helper.get_attribute_value(one), np.float32)
        if one.name == "value" and one.t.data_type == TensorProto.FLOAT:
            found: NDArray[np.float32] = numpy_helper.to_array(one.t)
            return found
    return None


def retype(node: onnx.NodeProto) -> None:
    """Make a node that names the type it makes, FP32, name FP16."""
    if node.op_type == "Cast":
        next(one for one in node.attribute if one.name == "to").i = TensorProto.FLOAT16
    if node.op_type == "ConstantOfShape":
        filled = [numpy_helper.to_array(one.t) for one in node.attribute if one.name == "value"]
        value = to_float16(filled[0] if filled else np.zeros(1, np.float32), node.output[0], node.name)
        del node.attribute[:]
        node.attribute.append(helper.make_attribute("value", numpy_helper.from_array(value)))
