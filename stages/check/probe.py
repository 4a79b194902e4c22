"""A child process that lets a runtime look at models, so that its crash is not ours.

`python -m stages.check.probe RUNTIME` reads models from stdin, each as its length (8 bytes, little endian)
and its bytes, and answers each with one line of JSON on stdout: the runtime's complaint, or "" where it takes
the model.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable
from typing import BinaryIO


def main(runtime: str) -> None:
    """Answer until stdin ends."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)  # what the libraries print is no answer
        _limit_memory()
        look = {"openvino": _look_with_openvino, "onnxruntime": _look_with_onnxruntime}[runtime]()
        while header := sys.stdin.buffer.read(8):
            model = _read_exactly(sys.stdin.buffer, int.from_bytes(header, "little"))
            answers.write(json.dumps(look(model)) + "\n")
            answers.flush()


def _limit_memory() -> None:
    """Let a model that asks for more than half of the memory fail, before the system kills somebody."""
    half = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    _, allowed = resource.getrlimit(resource.RLIMIT_AS)
    limit = half if allowed == resource.RLIM_INFINITY else min(half, allowed)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _read_exactly(stream: BinaryIO, length: int) -> bytes:
    content = stream.read(length)
    assert len(content) == length, "the parent went away"
    return content


def _look_with_openvino() -> Callable[[bytes], str]:
    import openvino

    core = openvino.Core()

    def look(model: bytes) -> str:
        try:
            core.compile_model(core.read_model(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        except (RuntimeError, MemoryError) as exc:
            return str(exc) or type(exc).__name__
        return ""

    return look


def _look_with_onnxruntime() -> Callable[[bytes], str]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # fatal; all else is in the exception

    def look(model: bytes) -> str:
        try:
            onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as exc:  # noqa: BLE001 - its dozen classes share no base but this
            return str(exc) or type(exc).__name__
        return ""

    return look


if __name__ == "__main__":
    main(sys.argv[1])
