"""Q/DQ nodes: what the parser of a runtime says of each QuantizeLinear and DequantizeLinear of a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from stages.quantize.graph import Graph, attribute
from stages.quantize.rules.parsers import HALF_OPSET, HALVES, Rules
from stages.tensor_types import tensor_types

_WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
_PASSED = {"Cast", "Identity"}  # the parser looks through them for a constant


class View:
    """A graph as the parser of a runtime sees it."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.graph = Graph(model)
        self.pairs = [node for node in model.graph.node if is_qdq(node)]
        self.opset = next((one.version for one in model.opset_import if one.domain in {"", "ai.onnx"}), 0)

    @cached_property
    def types(self) -> dict[str, int]:
        """Element types by tensor."""
        return tensor_types(self.model)

    def constant(self, node: onnx.NodeProto, position: int) -> NDArray[Any] | None:
        """Give an input that the parser knows beforehand; None for what is computed, or not there."""
        name = node.input[position] if position < len(node.input) else ""
        maker = self.graph.makers.get(name)
        while maker is not None and maker.op_type in _PASSED:
            name = maker.input[0]
            maker = self.graph.makers.get(name)
        return self.graph.constant(name)

    def is_activation(self, node: onnx.NodeProto) -> bool:
        """Say whether a Q or DQ node works on what is computed from the model's input, not on a weight."""
        maker = self.graph.makers.get(node.input[0])
        if node.op_type == "DequantizeLinear" and maker is not None and maker.op_type == "QuantizeLinear":
            node = maker
        return self.constant(node, 0) is None


def is_qdq(node: onnx.NodeProto) -> bool:
    """Say whether a node is a QuantizeLinear or a DequantizeLinear."""
    return node.op_type in {"QuantizeLinear", "DequantizeLinear"}


# --------------------------------------------------------------------------- rules of single Q and DQ nodes
def _has_its_inputs(view: View, node: onnx.NodeProto, rules: Rules) -> Iterator[str]:
    del view
    if len(node.input) < rules.fewest_inputs:
        yield f"{len(node.input)} inputs, {rules.reader} wants {rules.fewest_inputs}"


def _scale_is_sound(view: View, node: onnx.NodeProto, rules: Rules) -> Iterator[str]:
    scale = view.constant(node, 1)
    if scale is None:
        yield "its scale is computed, it has to be constant"
        return
    kind = view.types.get(node.input[1], 0)
    if kind not in rules.scales:
        yield f"its scale is {_type_name(kind)}, {rules.reader} does not read that"
    values = scale.astype(np.float64)
    if not (np.isfinite(values).all() and (values > 0).all()):
        yield "scales have to be finite and above 0"


def _zero_point_is_sound(view: View, node: onnx.NodeProto, rules: Rules) -> Iterator[str]:
    """Without a zero point, QuantizeLinear makes UINT8; TensorRT takes it for INT8."""
    if len(node.input) < 3 or not node.input[2]:
        unsaid = node.op_type == "QuantizeLinear" and attribute(node, "output_dtype", 0) != TensorProto.INT8
        if rules.symmetric and unsaid:
            yield "it has no zero point, so it makes UINT8, not INT8"
        return
    values = view.constant(node, 2)
    kind = view.types.get(node.input[2], 0)
    if values is None:
        yield "its zero point is computed, it has to be constant"
        return
    if rules.symmetric and kind != TensorProto.INT8 and not _is_int32(view, node):
        yield f"its zero point is {_type_name(kind)}, not INT8"
    elif rules.symmetric and values.any():
        yield "its zero point is not 0"
    scale = view.constant(node, 1)
    if scale is not None and scale.size != values.size:
        yield f"{scale.size} scales, but {values.size} zero points"


def _axis_is_that_of_the_channels(view: View, node: onnx.NodeProto, rules: Rules) -> Iterator[str]:
    scale = view.constant(node, 1)
    if scale is None or scale.size == 1:
        return
    if rules.tensorrt and view.is_activation(node):
        yield f"{scale.size} scales for an activation, which may have one"
        return
    axis = attribute(node, "axis")
    if axis is None and rules.fewest_inputs == 3:
        yield f"it names no axis, which is 1 in ONNX and 0 in {rules.reader}"
    shape = view.graph.shapes.get(node.input[0], ()) or _dims(view.graph, node.input[0])
    place = (1 if axis is None else axis) % max(len(shape), 1)
    if shape and shape[place] != scale.size:
        yield f"{scale.size} scales for {shape[place]} channels on axis {place}"
    yield from _misplaced(view, node, place, len(shape)) if rules.tensorrt else ()


def _misplaced(view: View, node: onnx.NodeProto, axis: int, rank: int) -> Iterator[str]:
    """Say for which readers of a weight the scales lie along another axis than that of output channels."""
    for reader, position in view.graph.readers.get(node.output[0], []):
        if position == 1 and reader.op_type in _WEIGHTED:
            wanted = _channel_axis(reader, rank)
            if axis != wanted:
                yield f"scales along axis {axis}, the output channels of {reader.name} are axis {wanted}"


def _channel_axis(node: onnx.NodeProto, rank: int) -> int:
    """Give the axis of the output channels in a weight: kernels are KCRS, transposed CKRS (NvInfer.h)."""
    if node.op_type == "MatMul":
        return rank - 1
    if node.op_type == "Gemm":
        return 0 if attribute(node, "transB", 0) else 1
    return 1 if node.op_type == "ConvTranspose" else 0


def _data_and_scale_fit(view: View, node: onnx.NodeProto, rules: Rules) -> Iterator[str]:
    data, scale = view.types.get(node.input[0], 0), view.types.get(node.input[1], 0)
    if HALVES & {data, scale} and view.opset < HALF_OPSET:
        yield f"FP16 at opset {view.opset}; ONNX allows it from {HALF_OPSET} on"
    if node.op_type != "QuantizeLinear" or rules.typing == "free" or 0 in {data, scale}:
        return
    if data != scale and (rules.typing == "equal" or scale in HALVES):
        yield f"{_type_name(data)} data with a scale in {_type_name(scale)}, in a strongly typed network"


def _bias_is_float(view: View, node: onnx.NodeProto, rules: Rules) -> Iterator[str]:
    if not rules.tensorrt or node.op_type != "DequantizeLinear":
        return
    readers = view.graph.readers.get(node.output[0], [])
    biased = [reader.name for reader, position in readers if position == 2 and reader.op_type in _WEIGHTED]
    if biased:
        yield f"it quantizes the bias of {biased[0]}, which has to be float"
    elif _is_int32(view, node):
        yield "it dequantizes INT32, which TensorRT does not"


def _makes_and_meets_int8(view: View, node: onnx.NodeProto, rules: Rules) -> Iterator[str]:
    """A quantized tensor goes nowhere but into a DequantizeLinear, which reads nothing else."""
    graph = view.graph
    if node.op_type == "QuantizeLinear":
        strangers = [one.op_type for one in graph.after(node) if one.op_type != "DequantizeLinear"]
        if strangers or not graph.after(node) or node.output[0] in graph.outputs:
            yield f"a DequantizeLinear has to follow, not {strangers[0] if strangers else 'the end'}"
        return
    kind = view.types.get(node.input[0], TensorProto.INT8)
    if rules.symmetric and kind != TensorProto.INT8 and not _is_int32(view, node):
        yield f"it dequantizes {_type_name(kind)}, {rules.reader} takes INT8"
    maker = graph.makers.get(node.input[0])
    if maker is None and graph.constant(node.input[0]) is None:
        yield "it reads an input of the model, a QuantizeLinear has to be before it"
    elif maker is not None and maker.op_type not in {"QuantizeLinear", "Constant", *_PASSED}:
        yield f"a QuantizeLinear has to be before it, not {maker.op_type}"


def _is_int32(view: View, node: onnx.NodeProto) -> bool:
    return bool(view.types.get(node.input[0]) == TensorProto.INT32)


def _dims(graph: Graph, name: str) -> tuple[int, ...]:
    return tuple(graph.weights[name].dims) if name in graph.weights else ()


def _type_name(kind: int) -> str:
    return (
        str(helper.tensor_dtype_to_string(kind)).removeprefix("TensorProto.") if kind else "of unknown type"
    )


NODE_RULES: tuple[Callable[[View, onnx.NodeProto, Rules], Iterator[str]], ...] = (
    _has_its_inputs,
    _scale_is_sound,
    _zero_point_is_sound,
    _axis_is_that_of_the_channels,
    _data_and_scale_fit,
    _bias_is_float,
    _makes_and_meets_int8,
)
