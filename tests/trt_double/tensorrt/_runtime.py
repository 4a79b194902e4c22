"""Runtime, engine and inspector."""

import json

import onnx

from . import _device, _plan
from ._api import ENUMS, as_in_this_version, stored
from ._dims import Dims
from ._graph import shape_of, type_of
from ._logging import Voice
from ._refusals import dla_cores
from ._run import IExecutionContext


@as_in_this_version
class Runtime:
    def __init__(self, logger):
        self._voice = Voice(logger)
        if not _device.is_there():
            self._voice.error("FAILED_INITIALIZATION", "CUDA initialization failure with error: 100")
            raise TypeError("pybind11::init(): factory function returned nullptr")

    logger = property(lambda self: self._voice.logger)
    DLA_core = stored("DLA_core", -1)
    num_DLA_cores = property(lambda _self: dla_cores())
    max_threads = stored("max_threads", 1)
    engine_host_code_allowed = stored("engine_host_code_allowed", False)

    @property
    def error_recorder(self):
        return self._voice.recorder

    @error_recorder.setter
    def error_recorder(self, recorder):
        self._voice.recorder = recorder

    def deserialize_cuda_engine(self, serialized_engine):
        found = _plan.read(bytes(serialized_engine), self._voice)
        return None if found is None else ICudaEngine(self._voice, *found)


@as_in_this_version
class ICudaEngine:
    def __init__(self, voice, facts, content):
        self._voice, self._facts = voice, facts
        self._model = onnx.load_model_from_string(content)
        graph = self._model.graph
        weights = {weight.name for weight in graph.initializer}
        self._inputs = [value for value in graph.input if value.name not in weights]
        self._tensors = {value.name: value for value in [*self._inputs, *graph.output]}

    name = property(lambda self: self._facts["name"])
    num_io_tensors = property(lambda self: len(self._tensors))
    num_layers = property(lambda self: len(self._facts["layers"]))
    num_optimization_profiles = property(lambda self: max(len(self._facts["profiles"]), 1))
    num_aux_streams = property(lambda _self: 0)
    profiling_verbosity = property(lambda self: ENUMS["ProfilingVerbosity"][self._facts["verbosity"]])
    has_implicit_batch_dimension = property(lambda _self: False)
    refittable = property(lambda _self: False)
    device_memory_size = property(lambda _self: 1 << 20)
    device_memory_size_v2 = property(lambda _self: 1 << 20)
    engine_capability = property(lambda _self: ENUMS["EngineCapability"].STANDARD)

    def get_tensor_name(self, index):
        return list(self._tensors)[index]

    def get_tensor_mode(self, name):
        kinds = ENUMS["TensorIOMode"]
        if name not in self._tensors:
            self._voice.error(
                "INVALID_ARGUMENT", f"ICudaEngine::getTensorIOMode: Error Code 3: no tensor {name}"
            )
            return kinds.NONE
        return kinds.INPUT if self._tensors[name] in self._inputs else kinds.OUTPUT

    def get_tensor_shape(self, name):
        return Dims(shape_of(self._tensors[name]))

    def get_tensor_dtype(self, name):
        return type_of(self._tensors[name].type.tensor_type.elem_type)

    def get_tensor_location(self, name):
        return ENUMS["TensorLocation"].DEVICE

    def get_tensor_format(self, name):
        return ENUMS["TensorFormat"].LINEAR

    def get_tensor_profile_shape(self, name, profile_index):
        profiles = self._facts["profiles"]
        shapes = profiles[profile_index].get(name) if profiles else None
        return [Dims(shape) for shape in shapes or [shape_of(self._tensors[name])] * 3]

    def is_shape_inference_io(self, name):
        return False

    def serialize(self):
        return _plan.host_memory(_plan.write(self._facts, self._model.SerializeToString()))

    def create_execution_context(self, *_settings):
        return IExecutionContext(self)

    def create_engine_inspector(self):
        return EngineInspector(self)


@as_in_this_version
class EngineInspector:
    def __init__(self, engine):
        self._engine = engine

    execution_context = stored("execution_context")
    error_recorder = stored("error_recorder")

    def get_layer_information(self, layer_index, format):
        return self._show(self._layers()[layer_index], format)

    def get_engine_information(self, format):
        engine = self._engine
        return self._show({"Layers": self._layers(), "Bindings": list(engine._tensors)}, format)

    def _layers(self):
        verbosity = self._engine._facts["verbosity"]
        layers = self._engine._facts["layers"]
        if verbosity == "DETAILED":
            return layers
        return [layer["Name"] for layer in layers] if verbosity == "LAYER_NAMES_ONLY" else []

    def _show(self, what, format):
        return json.dumps(what, indent=2) if format is ENUMS["LayerInformationFormat"].JSON else str(what)
