"""Tracing: a module to ONNX bytes, with nothing baked in that depends on the picture."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import stages.yolo  # noqa: F401  (before anything that may import ultralytics)
from targets.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Iterator

HINT = (
    "Move that part to post-processing, out of the model; or write it with PyTorch operators alone, "
    "and without `if` on the values in a tensor."
)
LIBRARIES = ("torch", "torchvision", "ultralytics")


def trace(module: torch.nn.Module, *inputs: Any, opset: int) -> bytes:
    """Export `module` with the TorchScript exporter, whose node names keep the path of the module.

    The newer exporter (dynamo) names nodes `node_conv2d_7` and starts at opset 18.

    Raises:
        ExportError: An operator has no ONNX form, or code outside of the libraries depends on the values in
            a tensor. It tells the reason alone.
    """
    content = io.BytesIO()
    with warnings.catch_warnings(record=True) as caught, _quiet():
        warnings.simplefilter("always")
        try:
            torch.onnx.export(
                module,
                inputs,
                content,
                input_names=["images"],
                output_names=["output0"],
                opset_version=opset,
                dynamo=False,
                autograd_inlining=False,  # it bakes in what a Function does outside of PyTorch
            )
        except (RuntimeError, TypeError, ValueError) as exc:
            raise ExportError(_first_line(exc), hint=HINT) from exc
    for warning in caught:
        if issubclass(warning.category, torch.jit.TracerWarning) and not _in_library(warning.filename):
            raise ExportError(
                f"what it does depends on the values in a tensor, at {warning.filename}:{warning.lineno} "
                f"({_first_sentence(str(warning.message))}).",
                hint=HINT,
            )
    return content.getvalue()


def is_stock(module: torch.nn.Module) -> bool:
    """Tell whether the class of `module` is PyTorch's or Ultralytics'."""
    return type(module).__module__.partition(".")[0] in LIBRARIES


def _in_library(filename: str) -> bool:
    roots = (Path(sys.modules[name].__file__ or "").parent for name in LIBRARIES if name in sys.modules)
    return any(Path(filename).is_relative_to(root) for root in roots)


def _first_line(exc: Exception) -> str:
    lines = [line for line in str(exc).splitlines() if line.strip()]
    return lines[0].removeprefix("ONNX export failed: ") if lines else type(exc).__name__


def _first_sentence(text: str) -> str:
    return text.partition(". ")[0].partition(" might ")[0]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the graphs that the exporter's C++ part prints on failure from the terminal."""
    sys.stdout.flush()
    saved = os.dup(1)
    try:
        with tempfile.TemporaryFile() as sink:
            os.dup2(sink.fileno(), 1)
            yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
