"""Execution: ONNX Runtime computes what the graph says, between addresses on the device."""

import ctypes

import numpy as np
import onnx
import onnxruntime

from . import _device, _faults
from ._api import NUMBERS, as_in_this_version, stored
from ._dims import Dims
from ._graph import shape_of


def _session(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    # Float simulation of Q/DQ: what 8-bit kernels of a CPU without VNNI make of it is not what a GPU does.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


@as_in_this_version
class IExecutionContext:
    def __init__(self, engine):
        self._engine, self._voice = engine, engine._voice
        self._cuda = _device.find()
        self._session = _session(engine._model)
        self._shapes, self._addresses = {}, {}
        self._ran_with = None  # shapes of the last run: a graph can be captured only after one with the same
        self._captured, self._queued = [], []  # what graphs and streams will call must be kept for them
        self._failed = None

    engine = property(lambda self: self._engine)
    name = stored("name", "")
    active_optimization_profile = stored("active_optimization_profile", 0)
    debug_sync = stored("debug_sync", False)
    enqueue_emits_profile = stored("enqueue_emits_profile", True)
    persistent_cache_limit = stored("persistent_cache_limit", 0)
    profiler = stored("profiler")
    error_recorder = stored("error_recorder")
    all_binding_shapes_specified = property(lambda self: not self._open_inputs())

    def set_input_shape(self, name, shape):
        profile = self._engine.get_tensor_profile_shape(name, 0)
        low, _, high = profile
        if len(low) != len(shape) or not all(a <= s <= b for a, s, b in zip(low, shape, high, strict=True)):
            return self._say(
                f"IExecutionContext::setInputShape: Error Code 3: {name}: {tuple(shape)} out of profile"
            )
        self._shapes[name] = list(shape)
        return True

    def get_tensor_shape(self, name):
        shape = self._shapes.get(name) or shape_of(self._engine._tensors[name])
        if -1 in shape and not self._open_inputs():
            shape = self._infer()[name]
        return Dims(shape)

    def infer_shapes(self):
        return self._open_inputs()

    def set_tensor_address(self, name, memory):
        if name not in self._engine._tensors:
            return self._say(f"IExecutionContext::setTensorAddress: Error Code 3: there is no tensor {name}")
        self._addresses[name] = int(memory)
        return True

    def get_tensor_address(self, name):
        return self._addresses.get(name, 0)

    def set_optimization_profile_async(self, profile_index, stream_handle):
        self.__dict__["_active_optimization_profile"] = profile_index
        return profile_index < self._engine.num_optimization_profiles

    def execute_async_v3(self, stream_handle):
        if not self._is_ready():
            return False
        status = ctypes.c_int()
        if self._cuda.cudaStreamIsCapturing(int(stream_handle), ctypes.byref(status)):
            return self._say(
                "IExecutionContext::enqueueV3: Error Code 1: Cuda Runtime (invalid resource handle)"
            )
        if status.value and self._ran_with != self._shapes:
            return self._say(
                "IExecutionContext::enqueueV3: Error Code 1: Cuda Runtime (operation not permitted when "
                "stream is capturing)"
            )
        self._ran_with = dict(self._shapes)
        work = self._work(dict(self._addresses))
        call = _device.Callback(work)
        self._queued = [one for one in self._queued if not one[0].is_done]
        (self._captured if status.value else self._queued).append((work, call))
        return self._cuda.cudaLaunchHostFunc(int(stream_handle), call, None) == 0

    def execute_v2(self, bindings):
        names = list(self._engine._tensors)
        if len(bindings) != len(names):
            return self._say("IExecutionContext::executeV2: Error Code 3: wrong number of bindings")
        self._addresses.update(zip(names, map(int, bindings), strict=True))
        if not self._is_ready():
            return False
        self._work(dict(self._addresses))(None)
        return self._failed is None

    def execute_async_v2(self, bindings, stream_handle, input_consumed=None):
        self._addresses.update(zip(self._engine._tensors, map(int, bindings), strict=True))
        return self.execute_async_v3(stream_handle)

    def _is_ready(self):
        if _faults.fails("run"):
            return self._say(
                "IExecutionContext::enqueueV3: Error Code 1: Cuda Runtime (an illegal memory access)"
            )
        if self._failed is not None:
            return self._say(
                f"IExecutionContext::enqueueV3: Error Code 1: the last inference failed: {self._failed}"
            )
        if self._open_inputs():
            return self._say(
                f"IExecutionContext::enqueueV3: Error Code 3: no shape was set for {self._open_inputs()}"
            )
        for name in self._engine._tensors:
            if not self._cuda.cuda_double_is_on_device(self._addresses.get(name, 0), self._size(name)):
                return self._say(
                    f"IExecutionContext::enqueueV3: Error Code 3: API Usage Error (The address of {name} "
                    "is not set, or not on the device, or too little is allocated there)"
                )
        return True

    def _say(self, text):
        return bool(self._voice.error("INVALID_ARGUMENT", text))

    def _open_inputs(self):
        values = {
            value.name: self._shapes.get(value.name) or shape_of(value) for value in self._engine._inputs
        }
        return [name for name, shape in values.items() if -1 in shape]

    def _size(self, name):
        return int(np.prod(list(self.get_tensor_shape(name)), dtype=np.int64)) * self._kind(name).itemsize

    def _kind(self, name):
        """Give the type of a tensor in memory; TensorRT 8 has INT32 for INT64."""
        element = self._engine._tensors[name].type.tensor_type.elem_type
        kind = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(element))
        return np.dtype(np.int32) if kind == np.int64 and NUMBERS < (10,) else kind

    def _infer(self):
        """Give the shapes of all tensors for the shapes of the inputs."""
        model = onnx.ModelProto()
        model.CopyFrom(self._engine._model)
        for value in model.graph.input:
            if value.name in self._shapes:
                for dim, size in zip(value.type.tensor_type.shape.dim, self._shapes[value.name], strict=True):
                    dim.dim_value = size
        for value in model.graph.output:
            value.type.tensor_type.ClearField("shape")
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        return {value.name: shape_of(value) for value in [*inferred.graph.input, *inferred.graph.output]}

    def _work(self, addresses):
        """Give what the device does: read the inputs, run, write the outputs."""
        shapes = {name: list(self.get_tensor_shape(name)) for name in self._engine._tensors}
        inputs = {value.name for value in self._engine._inputs}

        def run(_data):
            try:
                views = {name: _view(at, self._kind(name), shapes[name]) for name, at in addresses.items()}
                feeds = {
                    value.name: views[value.name].astype(_true_kind(value)) for value in self._engine._inputs
                }
                outputs = [name for name in views if name not in inputs]
                for name, array in zip(outputs, self._session.run(outputs, feeds), strict=True):
                    views[name][...] = array
                _faults.delay(self._engine._facts["precision"])
            except Exception as error:  # nothing can be raised through C; the next call tells
                self._failed = error
            run.is_done = True

        run.is_done = False
        return run


def _true_kind(value):
    return onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)


def _view(address, kind, shape):
    size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
    return np.frombuffer((ctypes.c_char * size).from_address(address), dtype=kind).reshape(shape)
