"""What a builder has against a network, in the words of TensorRT."""

from . import _device, _faults, _layers
from ._api import ENUMS, NUMBERS
from ._graph import shape_of

_DLA = (7, 2), (8, 7)  # SMs of the modules that have deep learning accelerators
_USAGE = "IBuilder::buildSerializedNetwork: Error Code 4: API Usage Error"


def dla_cores():
    """Give how many deep learning accelerators this version can build for on this module."""
    sm = tuple(int(part) for part in _device.sm().split("."))
    return 2 if sm in _DLA and (NUMBERS <= (10, 7) or NUMBERS >= (11, 4)) else 0


def refusal(network, config):
    """Give the error and its text if the builder refuses a network with these settings, or None."""
    if network._model is None:
        return "INVALID_STATE", f"{_USAGE} (Network must have at least one output)"
    text = _bad_types(network, config) or _bad_shapes(network, config) or _bad_dla(network, config)
    return ("INVALID_CONFIG", text) if text else None


def failure(model, layers):
    """Give what goes wrong in the middle of a build because a test asked for it."""
    name = layers[len(layers) // 2]["Name"]
    call = "IBuilder::buildSerializedNetwork:"
    if _faults.fails("oom"):
        text = f"{call} Error Code 2: OutOfMemory (Requested size was 4294967296 bytes.)"
        return "FAILED_ALLOCATION", text
    if _faults.fails("build", _layers.precision(model)):
        text = (
            f"{call} Error Code 10: Internal Error (Could not find any implementation for node {{ForeignNode["
        )
        return "FAILED_EXECUTION", f"{text}{name}]}}.)"
    return None


def _bad_types(network, config):
    if network._is_strongly_typed():
        forbidden = [name for name in ("FP16", "BF16", "INT8", "FP8", "INT4") if config._has(name)]
        text = "IBuilder::buildSerializedNetwork: Error Code 3: API Usage Error (BuilderFlag::k"
        return f"{text}{forbidden[0]} is not compatible with a strongly typed network.)" if forbidden else ""
    for name, word in (("INT8", "Int8"), ("FP16", "fp16")):
        if name in _layers.types(network._model) and not config._has(name):
            text = (
                f"[network.cpp::validate::2925] Error Code 4: Internal Error ({word} precision has been set"
            )
            return f"{text} for a layer or layer output, but {word.lower()} is not configured in the builder)"
    return ""


def _bad_shapes(network, config):
    dynamic = {value.name: shape_of(value) for value in network._inputs() if -1 in shape_of(value)}
    if dynamic and not config._profiles:
        text = "(Network has dynamic or shape inputs, but no optimization profile has been defined.)"
        return f"{_USAGE} {text}"
    for profile in config._profiles:
        for name, shape in dynamic.items():
            low = profile._shapes.get(name, [[]])[0]
            if not _fits(low, shape):
                return f"{_USAGE} ({name}: the profile has no valid shapes)"
    return ""


def _fits(given, shape):
    return len(given) == len(shape) and all(size in {-1, one} for size, one in zip(shape, given, strict=True))


def _bad_dla(network, config):
    if config.default_device_type is not ENUMS["DeviceType"].DLA:
        return ""
    names = _layers.types(network._model)
    if config.DLA_core >= dla_cores():
        return f"Error Code 3: API Usage Error (DLA core {config.DLA_core} is not valid on this device)"
    if NUMBERS <= (10, 7) and "INT8" in names:
        return "Error Code 4: Internal Error (DLA does not support explicit quantization)"
    if NUMBERS < (11,) and not (config._has("FP16") or "FP16" in names):
        return "Error Code 4: Internal Error (DLA needs FP16 or INT8)"
    if not config._has("GPU_FALLBACK"):
        return "Error Code 4: Internal Error (GPU fallback is not enabled: a layer cannot run on DLA)"
    return ""
