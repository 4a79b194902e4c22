"""Networks, and the parser that fills them from ONNX."""

import os
from pathlib import Path

import onnx

from . import _rules
from ._api import ENUMS, NUMBERS, as_in_this_version, has, stored
from ._dims import Dims
from ._logging import Voice

DataType = ENUMS["DataType"]
_TYPES = {
    onnx.TensorProto.FLOAT: "FLOAT", onnx.TensorProto.FLOAT16: "HALF", onnx.TensorProto.BFLOAT16: "BF16",
    onnx.TensorProto.INT8: "INT8", onnx.TensorProto.INT32: "INT32", onnx.TensorProto.INT64: "INT64",
    onnx.TensorProto.BOOL: "BOOL", onnx.TensorProto.UINT8: "UINT8",
}  # fmt: skip


def type_of(element):
    """Give our type for one of ONNX; TensorRT 8 makes INT32 of INT64."""
    name = _TYPES.get(element, "FLOAT")
    return DataType[name] if has("DataType", name) else DataType.INT32


@as_in_this_version
class ITensor:
    def __init__(self, value, *, is_input):
        self._value = value
        self._is_input = is_input
        self._name = value.name

    name = stored("name")
    dtype = property(lambda self: type_of(self._value.type.tensor_type.elem_type))
    is_network_input = property(lambda self: self._is_input)
    is_network_output = property(lambda self: not self._is_input)
    is_shape_tensor = property(lambda _self: False)

    @property
    def shape(self):
        return Dims(shape_of(self._value))


def shape_of(value):
    """Give the shape of a value of ONNX, -1 where a dimension has a name."""
    dims = value.type.tensor_type.shape.dim
    return [dim.dim_value if dim.HasField("dim_value") else -1 for dim in dims]


_KINDS = {
    "Conv": "CONVOLUTION", "ConvTranspose": "DECONVOLUTION", "QuantizeLinear": "QUANTIZE",
    "DequantizeLinear": "DEQUANTIZE", "Sigmoid": "ACTIVATION", "Relu": "ACTIVATION", "Mul": "ELEMENTWISE",
    "Add": "ELEMENTWISE", "Sub": "ELEMENTWISE", "Div": "ELEMENTWISE", "MaxPool": "POOLING",
    "Concat": "CONCATENATION", "Resize": "RESIZE", "MatMul": "MATRIX_MULTIPLY", "Softmax": "SOFTMAX",
    "Constant": "CONSTANT", "Slice": "SLICE", "Cast": "CAST", "Split": "SLICE", "TopK": "TOPK",
    "Gather": "GATHER",
}  # fmt: skip


@as_in_this_version
class ILayer:
    def __init__(self, node, elements):
        self._node = node
        self._elements = elements
        self._name = node.name

    name = stored("name")
    num_inputs = property(lambda self: len(self._node.input))
    num_outputs = property(lambda self: len(self._node.output))

    @property
    def type(self):
        kind = _KINDS.get(self._node.op_type, "SHUFFLE")
        return ENUMS["LayerType"][kind if has("LayerType", kind) else "IDENTITY"]

    def get_input(self, index):
        return self._tensor(self._node.input[index])

    def get_output(self, index):
        return self._tensor(self._node.output[index])

    def _tensor(self, name):
        element = self._elements.get(name, onnx.TensorProto.FLOAT)
        return ITensor(onnx.helper.make_tensor_value_info(name, element, None), is_input=False)


@as_in_this_version
class INetworkDefinition:
    def __init__(self, voice, flags):
        self._voice = voice
        self._flags = flags
        self._model = None
        self._elements = None

    name = stored("name", "Unnamed Network 0")
    num_layers = property(lambda self: len(self._model.graph.node) if self._model else 0)
    num_inputs = property(lambda self: len(self._inputs()))
    num_outputs = property(lambda self: len(self._model.graph.output) if self._model else 0)
    has_implicit_batch_dimension = property(lambda self: not self._is_explicit())
    flags = property(lambda self: self._flags)

    def get_flag(self, flag):
        return bool(self._flags >> int(flag) & 1)

    def get_input(self, index):
        return ITensor(self._inputs()[index], is_input=True)

    def get_output(self, index):
        return ITensor(self._model.graph.output[index], is_input=False)

    def get_layer(self, index):
        if self._elements is None:
            self._elements = _rules._types(self._model)
        return ILayer(self._model.graph.node[index], self._elements)

    def _inputs(self):
        weights = {tensor.name for tensor in self._model.graph.initializer} if self._model else ()
        return (
            [value for value in self._model.graph.input if value.name not in weights] if self._model else []
        )

    def _has_flag(self, name):
        flags = ENUMS["NetworkDefinitionCreationFlag"].__members__
        return name in flags and bool(self._flags >> int(flags[name]) & 1)

    def _is_explicit(self):
        return NUMBERS >= (10,) or self._has_flag("EXPLICIT_BATCH")

    def _is_strongly_typed(self):
        return NUMBERS >= (11,) or self._has_flag("STRONGLY_TYPED")


@as_in_this_version
class ParserError:
    def __init__(self, problem):
        self._problem = problem

    def code(self):
        return ENUMS["ErrorCode"][self._problem.code]

    def desc(self):
        return self._problem.text

    def file(self):
        return "ModelImporter.cpp"

    def func(self):
        return "parseNode"

    def line(self):
        return 0

    def node(self):
        return self._problem.index

    def node_name(self):
        return self._problem.name

    def node_operator(self):
        return self._problem.operator

    def local_function_stack(self):
        return []

    def local_function_stack_size(self):
        return 0


@as_in_this_version
class OnnxParser:
    def __init__(self, network, logger):
        self._network, self._voice = network, Voice(logger)
        self._problems = []
        self.__dict__["_flags"] = 0

    flags = stored("flags", 0)
    num_errors = property(lambda self: len(self._problems))

    def parse(self, model, path=None):
        return self._take(bytes(model), Path(path).parent if path else None)

    def parse_from_file(self, model):
        try:
            content = Path(model).read_bytes()
        except OSError:
            return self._refuse(
                [_rules.Problem("MODEL_DESERIALIZE_FAILED", f"Failed to open file: {os.fspath(model)}")]
            )
        return self._take(content, Path(model).parent)

    def supports_operator(self, op_name):
        return op_name in _rules.operators()

    def supports_model_v2(self, model, path=None):
        return self._read(bytes(model), Path(path).parent if path else None) is not None

    def get_error(self, index):
        return ParserError(self._problems[index])

    def clear_errors(self):
        self._problems.clear()

    def set_flag(self, flag):
        self._flags |= 1 << int(flag)

    def clear_flag(self, flag):
        self._flags &= ~(1 << int(flag))

    def get_flag(self, flag):
        return bool(self._flags >> int(flag) & 1)

    def _take(self, content, folder):
        model = self._read(content, folder)
        if model is not None:
            self._network._model = model
        return model is not None

    def _read(self, content, folder):
        """Give the model, if this version's parser takes it."""
        network = self._network
        if not network._is_explicit():
            text = "This version of the ONNX parser only supports networks with an explicit batch dimension"
            self._refuse([_rules.Problem("INVALID_VALUE", text)])
            return None
        try:
            model = onnx.load_model_from_string(content)
            if folder is not None:
                onnx.load_external_data_for_model(model, str(folder))
        except Exception as error:  # protobuf's own, the checker's, the system's
            self._refuse([_rules.Problem("MODEL_DESERIALIZE_FAILED", f"Failed to parse ONNX model: {error}")])
            return None
        problems = _rules.problems(model, strongly_typed=network._is_strongly_typed())
        for text in _rules.remarks(model):
            self._voice.warn(text)
        self._refuse(problems)
        return None if problems else model

    def _refuse(self, problems):
        for problem in problems:
            self._problems.append(problem)
            self._voice.error(
                "UNSUPPORTED_STATE", f"ModelImporter.cpp: In node {problem.index}: {problem.text}"
            )
        return False
