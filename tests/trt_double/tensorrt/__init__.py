"""A double of TensorRT's Python bindings, of the version that TRT_DOUBLE_VERSION names.

It computes with ONNX Runtime, and says of itself that it only simulates. Its names come from the table that
was read from the real bindings; what a version lacks raises AttributeError here as it does there.
"""

from . import _api, _build, _dims, _graph, _logging, _plan, _runtime

SIMULATED = True
__version__ = _api.VERSION

_CLASSES = {
    kind.__name__: kind
    for module in (_build, _dims, _graph, _logging, _plan, _runtime)
    for kind in vars(module).values()
    if isinstance(kind, type) and kind.__module__.startswith(__name__)
}
for _name in [*_api._VERSION["classes"]]:
    if _name in _CLASSES:
        globals()[_name] = _CLASSES[_name]
for _name, _enum in _api.ENUMS.items():
    if "." not in _name:
        globals()[_name] = _enum


def init_libnvinfer_plugins(logger, namespace):
    return isinstance(logger, _logging.ILogger) and namespace == ""


def get_nv_onnx_parser_version():
    return tuple(int(part) for part in __version__.split(".")[:3])


float32, float16, int8, int32 = (_api.ENUMS["DataType"][name] for name in ("FLOAT", "HALF", "INT8", "INT32"))


def nptype(trt_type):
    import numpy as np

    kinds = {"FLOAT": "float32", "HALF": "float16", "INT8": "int8", "INT32": "int32", "INT64": "int64"}
    return getattr(np, {**kinds, "BOOL": "bool_", "UINT8": "uint8"}[trt_type.name])


def volume(iterable):
    product = 1
    for size in iterable:
        product *= size
    return product
