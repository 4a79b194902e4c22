"""The runtimes we have, by name."""

from targets.profile import RuntimeName
from targets.runtime import Runtime


def find_runtime(name: RuntimeName) -> Runtime:
    """Give a runtime by name.

    Raises:
        EvidenceError: There is none of that name on this machine yet.
    """
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
        from targets.errors import EvidenceError

        raise EvidenceError(
            "TensorRT engines are built on the device itself, and no device is connected.",
            hint="Everything up to the quantized ONNX is done; take it to the board.",
        )
    raise AssertionError(name)
