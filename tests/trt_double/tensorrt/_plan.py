"""Plans and timing caches: a container with what the real ones are checked for, and the graph."""

import ctypes
import hashlib
import json
import struct
import zlib

from . import _device
from ._api import ENUMS, VERSION, as_in_this_version

_HEAD = struct.Struct("<4sI")
_OURS = b"dbl\0"  # no real plan begins so, and none of ours can be taken for one
_CALL = "IRuntime::deserializeCudaEngine: Error Code"
_BROKEN = f"{_CALL} 1: Serialization (Serialization assertion "
_STRANGE = f"{_CALL} 6: API Usage Error (The engine plan file is"
_TAG = "Magic tag does not match"
_SIZE = "Size specified in header does not match archive size"


@as_in_this_version
class IHostMemory(ctypes.Structure):
    """Has the buffer protocol and, like the real one, no length."""

    def __init__(self):
        raise TypeError("No constructor defined")

    nbytes = property(ctypes.sizeof)
    dtype = property(lambda self: ENUMS["DataType"].INT8)


def host_memory(content):
    """Give bytes as the bindings give them."""
    kind = type("IHostMemory", (IHostMemory,), {"_fields_": [("_content", ctypes.c_char * len(content))]})
    kind.__module__ = "tensorrt"
    return kind.from_buffer_copy(content)


def write(facts, model):
    """Give a plan."""
    head = json.dumps({**facts, "version": VERSION, "sm": _device.sm(), "crc": zlib.crc32(model)}).encode()
    return _HEAD.pack(_OURS, len(head)) + head + model


def read(content, voice):
    """Give facts and model of a plan, or None after an error, in the words of TensorRT 10."""
    if len(content) < _HEAD.size or not content.startswith(_OURS):
        return voice.error("FAILED_EXECUTION", f"{_BROKEN}magicTagRead == kPLAN_MAGIC_TAG failed.{_TAG})")
    _, size = _HEAD.unpack_from(content)
    head, model = content[_HEAD.size : _HEAD.size + size], content[_HEAD.size + size :]
    if len(head) < size:
        return voice.error("FAILED_EXECUTION", f"{_BROKEN}safeStreamEnd() == safeStreamPos() failed.{_SIZE})")
    facts = json.loads(head)
    if facts["version"] != VERSION:
        text = f"{_STRANGE} not compatible with this version of TensorRT, expecting library version {VERSION}"
        return voice.error("INVALID_CONFIG", f"{text} got {facts['version']}, please rebuild.)")
    if facts["sm"] != _device.sm():
        text = f"{_STRANGE} generated on an incompatible device, expecting compute {_device.sm()}"
        return voice.error("INVALID_CONFIG", f"{text} got compute {facts['sm']}, please rebuild.)")
    if zlib.crc32(model) != facts["crc"]:
        return voice.error("FAILED_EXECUTION", f"{_BROKEN}safeStreamEnd() == safeStreamPos() failed.{_SIZE})")
    return facts, model


@as_in_this_version
class ITimingCache:
    def __init__(self, layers):
        self._layers = dict(layers)

    def serialize(self):
        head = {"cache": self._layers, "version": VERSION, "sm": _device.sm()}
        return host_memory(json.dumps(head).encode())

    def combine(self, input_cache, ignore_mismatch):
        self._layers.update(input_cache._layers)
        return True

    def reset(self):
        self._layers.clear()
        return True


def read_timing_cache(content, voice):
    """Give a cache from bytes; none from bytes that are no cache, and an empty one from another version's."""
    if not content:
        return ITimingCache({})
    try:
        record = json.loads(bytes(content))
        layers, made_by = record["cache"], (record["version"], record["sm"])
    except (ValueError, KeyError, TypeError):
        return voice.error(
            "INVALID_ARGUMENT", "Error Code 1: Serialization (the timing cache cannot be read)"
        )
    cache = ITimingCache(layers)
    cache._is_foreign = made_by != (VERSION, _device.sm())
    return cache


def layer_key(layer):
    return hashlib.sha256(json.dumps(layer, sort_keys=True).encode()).hexdigest()[:16]
