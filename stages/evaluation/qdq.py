"""Q/DQ: what a QuantizeLinear or DequantizeLinear says, in whichever of ONNX's many ways it says it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from stages.onnx_files import nodes_of
from targets.errors import ModelError

Array = NDArray[Any]
BOUNDS = {TensorProto.INT8: (-128, 127), TensorProto.UINT8: (0, 255)}
FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16}

_STORED = {*BOUNDS, TensorProto.INT32}  # what DequantizeLinear may read; INT32 is for biases
_PAIR = {"QuantizeLinear", "DequantizeLinear"}
# QLinearConv, QGemm, ConvInteger, DynamicQuantizeLinear, MatMulNBits and the like, of ONNX and com.microsoft.
_INTEGER = re.compile(r"Q[A-Z]|(Deq|Q|DynamicQ)uantize|(Conv|MatMul)Integer|MatMul(NBits|BnB4|FpQ4)")
_OPSETS = {"", "ai.onnx"}
_FIRST_OPSET = 11  # it has Round, and a Clip whose bounds are inputs
_HINT = (
    "Give an INT8 model as Q/DQ with scales per tensor or per channel, or the float model it was made from."
)


def is_quantized(model: onnx.ModelProto) -> bool:
    """Say whether anything in the model is quantized, in whatever form."""
    return any(_INTEGER.match(node.op_type) for node in nodes_of(model))


def refuse_other_forms(model: onnx.ModelProto) -> None:
    """See that a model is quantized by Q/DQ in its outermost graph alone, or not at all.

    Raises:
        ModelError: It has another operator on integers, a Q/DQ within a body of `If` or `Loop`, or an opset
            below 11.
    """
    for place, node in enumerate(nodes_of(model)):
        if not _INTEGER.match(node.op_type):
            continue
        if node.op_type not in _PAIR or node.domain not in _OPSETS:
            raise _refusal(node, f"there is no simulation of {node.op_type} ({node.domain or 'ai.onnx'})")
        if place >= len(model.graph.node):  # those of the outermost graph come first
            raise _refusal(node, "it lies within another node, or a function")
    opset = next((one.version for one in model.opset_import if one.domain in _OPSETS), 0)
    if is_quantized(model) and opset < _FIRST_OPSET:
        raise ModelError(
            f"The model is quantized at opset {opset}; there is a simulation from {_FIRST_OPSET} on.",
            hint="Export it at opset 13 or later.",
        )


@dataclass(frozen=True, eq=False)
class Rounding:
    """value = (integer - zero_point) * scale.

    Attributes:
        scale: FP32, shaped as it goes with the tensor: (), or (1, channels, 1, 1) for channels on axis 1.
        zero_point: FP32, likewise.
        kind: Type of the integers, as `TensorProto.INT8`.
        result: Type of the floats, as `TensorProto.FLOAT`.
    """

    scale: NDArray[np.float32]
    zero_point: NDArray[np.float32]
    kind: int
    result: int

    def dequantize(self, integers: Array) -> Array:
        """Give the floats that integers stand for."""
        centred = (integers.astype(np.int64) - self.zero_point.astype(np.int64)).astype(np.float32)
        return (centred * self.scale).astype(helper.tensor_dtype_to_np_dtype(self.result))


class Reader:
    """Reads the Q/DQ nodes of a model."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self._constants = dict(_constants(model.graph))

    @cached_property
    def _infos(self) -> dict[str, onnx.TypeProto.Tensor]:
        """Types and shapes of what is computed; seldom needed, and inference takes its time."""
        inferred = onnx.shape_inference.infer_shapes(self._model).graph
        return {one.name: one.type.tensor_type for one in (*inferred.value_info, *inferred.input)}

    def constant(self, name: str) -> Array | None:
        """Give the values of an initializer or a Constant, None for what is computed."""
        return numpy_helper.to_array(self._constants[name]) if name in self._constants else None

    def read(self, node: onnx.NodeProto) -> Rounding:
        """Give how a QuantizeLinear or DequantizeLinear rounds.

        Raises:
            ModelError: In blocks, in other types than INT8 and UINT8, or with scales that are computed or do
                not go with the tensor.
        """
        said = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        scale, zero_point = self._known(node, 1), self._known(node, 2)
        if scale is None:
            raise _refusal(node, "it has no scale")
        if scale.ndim > 1 or said.get("block_size", 0):
            raise _refusal(node, "its scales are blocked")
        if zero_point is not None and zero_point.size != scale.size:
            raise _refusal(node, f"it has {scale.size} scales and {zero_point.size} zero points")
        kind, result = self._types(node, scale, zero_point)
        shape = self._shape(node, scale.size, said.get("axis", 1))
        zeros = np.zeros(scale.size) if zero_point is None else zero_point
        return Rounding(
            scale.astype(np.float32).reshape(shape), zeros.astype(np.float32).reshape(shape), kind, result
        )

    def _known(self, node: onnx.NodeProto, position: int) -> Array | None:
        """Give the constant that is an input, None where the input is left out."""
        name = node.input[position] if len(node.input) > position else ""
        if name and name not in self._constants:
            raise _refusal(node, f"'{name}' is no constant")
        return self.constant(name)

    def _types(self, node: onnx.NodeProto, scale: Array, zero_point: Array | None) -> tuple[int, int]:
        """Give the type of the integers, and of the floats."""
        said = next((int(one.i) for one in node.attribute if one.name == "output_dtype"), 0)
        result = kind_of(scale)
        if zero_point is not None:
            kind = kind_of(zero_point)
        elif node.op_type == "QuantizeLinear":
            kind = said or TensorProto.UINT8
        else:
            kind = self._type_of(node.input[0])
        if node.op_type == "DequantizeLinear":
            result = said or result
        if kind not in (_STORED if node.op_type == "DequantizeLinear" else BOUNDS):
            raise _refusal(node, f"its integers are {_type_name(kind)}")
        if result not in FLOATS:
            raise _refusal(node, f"its floats are {_type_name(result)}")
        return kind, result

    def _type_of(self, name: str) -> int:
        if name in self._constants:
            return int(self._constants[name].data_type)
        return int(self._infos[name].elem_type) if name in self._infos else TensorProto.UNDEFINED

    def _shape(self, node: onnx.NodeProto, channels: int, axis: int) -> tuple[int, ...]:
        """Give the shape in which a value for each channel goes with the tensor."""
        if channels == 1:
            return ()
        sides = self._sides(node.input[0])
        if sides is None:
            raise _refusal(node, f"it has {channels} scales, and nobody knows the shape of '{node.input[0]}'")
        if not -len(sides) <= axis < len(sides) or sides[axis] not in {None, channels}:
            raise _refusal(node, f"{channels} scales along axis {axis} do not go with {sides}")
        shape = [1] * len(sides)
        shape[axis] = channels
        return tuple(shape)

    def _sides(self, name: str) -> list[int] | None:
        if name in self._constants:
            return list(self._constants[name].dims)
        info = self._infos.get(name)
        return (
            [one.dim_value for one in info.shape.dim] if info is not None and info.HasField("shape") else None
        )


def _refusal(node: onnx.NodeProto, reason: str) -> ModelError:
    return ModelError(
        f"{node.op_type} '{node.name or node.output[0]}' cannot be computed in float: {reason}.", hint=_HINT
    )


def _constants(graph: onnx.GraphProto) -> Iterator[tuple[str, TensorProto]]:
    yield from ((tensor.name, tensor) for tensor in graph.initializer)
    for node in graph.node:
        if node.op_type == "Constant":
            yield from ((node.output[0], tensor) for one in node.attribute for tensor in _tensor(one))


def _tensor(attribute: onnx.AttributeProto) -> Iterator[TensorProto]:
    """Give the tensor that a Constant holds in one of its seven ways; those of text hold no scale."""
    value = helper.get_attribute_value(attribute)
    if isinstance(value, TensorProto):
        yield value
    elif attribute.name.startswith("value_float"):
        yield numpy_helper.from_array(np.asarray(value, np.float32))
    elif attribute.name.startswith("value_int"):
        yield numpy_helper.from_array(np.asarray(value, np.int64))


def kind_of(values: Array) -> int:
    """Give ONNX's number of an array's type."""
    return int(helper.np_dtype_to_tensor_dtype(values.dtype))


def _type_name(kind: int) -> str:
    return str(TensorProto.DataType.Name(kind))
