"""A child process that lets a library look at models, so that its crash is not ours.

`python -m stages.check.probe LIBRARY FOLDER FIRST SECONDS` looks at the models FOLDER/FIRST.onnx and those
numbered after it, and answers each with one line of JSON on stdout: the library's complaint, or "" where it
takes the model. A model that takes longer than SECONDS ends the process.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import resource
import signal
import sys
import types
from collections.abc import Callable
from pathlib import Path

_START_S = 60.0  # a library on a cold network disk
Look = Callable[[Path], str]


def main(library: str, folder: Path, first: int, timeout_s: float) -> None:
    """Answer until there is no next model."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)  # what the libraries print is no answer
        _limit_memory()
        for number in (signal.SIGALRM, signal.SIGINT):  # end at once, in whatever code
            signal.signal(number, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, _START_S)
        look = {"openvino": _with_openvino, "onnxruntime": _with_onnxruntime, "onnx": _with_onnx}[library]()
        for index in itertools.count(first):
            model = folder / f"{index}.onnx"
            if not model.exists():
                return
            signal.setitimer(signal.ITIMER_REAL, timeout_s)
            answers.write(json.dumps(look(model)) + "\n")
            answers.flush()


def _limit_memory() -> None:
    """Let a model that asks for more than half of the memory fail, before the system kills somebody."""
    half = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    _, allowed = resource.getrlimit(resource.RLIMIT_AS)
    limit = half if allowed == resource.RLIM_INFINITY else min(half, allowed)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _words(exc: Exception) -> str:
    """Give what a library says; bytes of the model that it quotes need not be text."""
    if isinstance(exc, UnicodeDecodeError):
        return exc.object.decode(errors="replace")
    return str(exc) or type(exc).__name__


def _with_openvino() -> Look:
    import openvino

    core = openvino.Core()

    def look(model: Path) -> str:
        try:
            core.compile_model(core.read_model(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        except (RuntimeError, UnicodeDecodeError, MemoryError) as exc:
            return _words(exc)
        return ""

    return look


def _with_onnxruntime() -> Look:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # fatal; all else is in the exception
    # What is left out brings weights into another order, after kernels were found for all nodes: nine tenths
    # of the time and of the memory.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.add_session_config_entry("session.disable_prepacking", "1")

    def look(model: Path) -> str:
        try:
            onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as exc:  # noqa: BLE001 - its dozen classes share no base but this
            return _words(exc)
        return ""

    return look


def _with_onnx() -> Look:
    spec = importlib.util.find_spec("onnx")
    assert spec is not None, "the parent has found it"
    # All of inference is in one extension; the package around it takes 0.2 s to import, for nothing here.
    sys.modules["onnx"] = package = types.ModuleType("onnx")
    package.__path__ = spec.submodule_search_locations or []
    from onnx.onnx_cpp2py_export import checker, shape_inference

    refusals = (shape_inference.InferenceError, checker.ValidationError)

    def look(model: Path) -> str:
        try:
            inferred = shape_inference.infer_shapes(model.read_bytes(), False, False, False)  # noqa: FBT003
        except (*refusals, RuntimeError, ValueError, IndexError, TypeError, MemoryError) as exc:
            return _words(exc)
        model.with_suffix(".inferred").write_bytes(inferred)
        return ""

    return look


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
