"""The runtimes we have, by name."""

from targets.profile import RuntimeName
from targets.runtime import Runtime


def find_runtime(name: RuntimeName) -> Runtime:
    """Give a runtime by name; its own package is looked for only when it is used."""
    if name == "null":
        from targets.runtimes.null import NullRuntime

        return NullRuntime()
    if name == "onnxruntime":
        from targets.runtimes.ort import OrtRuntime

        return OrtRuntime()
    if name == "openvino":
        from targets.runtimes.ov import OvRuntime

        return OvRuntime()
    if name == "tensorrt":
        from targets.runtimes.trt import TrtRuntime

        return TrtRuntime()
    raise AssertionError(name)
