"""Culprit: which module of the user it is that cannot be exported."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from stages.export.tracing import is_stock, trace
from targets.errors import ExportError


def find_culprit(
    module: torch.nn.Module, images: torch.Tensor, *, opset: int, error: ExportError
) -> ExportError:
    """Export each of the user's modules alone, and name the innermost that fails.

    Args:
        module: The whole model, as it was exported.
        images: Its input.
        opset: As it was exported.
        error: What came of it.
    """
    inputs = _record_inputs(module, images)
    # The deepest first: a block fails with each module inside of it that does.
    for name in sorted(inputs, key=lambda name: (-name.count("."), name)):
        part = module.get_submodule(name)
        try:
            trace(part, *inputs[name], opset=opset)
        except ExportError as exc:
            return ExportError(f"{name} ({_describe(part)}) cannot be exported: {exc.what}", hint=exc.hint)
    return ExportError(f"The model cannot be exported: {error.what}", hint=error.hint)


def _record_inputs(module: torch.nn.Module, images: torch.Tensor) -> dict[str, tuple[Any, ...]]:
    """Give what each module that is not a library's gets to work on, by its qualified name."""
    inputs: dict[str, tuple[Any, ...]] = {}

    def record(name: str) -> Any:
        def hook(part: torch.nn.Module, args: tuple[Any, ...]) -> None:
            del part
            inputs.setdefault(name, args)

        return hook

    handles = [
        part.register_forward_pre_hook(record(name))
        for name, part in module.named_modules()
        if name and not is_stock(part)
    ]
    try:
        with torch.no_grad():
            module(images)
    finally:
        for handle in handles:
            handle.remove()
    return inputs


def _describe(part: torch.nn.Module) -> str:
    cls = type(part)
    try:
        place = f", {inspect.getsourcefile(cls)}:{inspect.getsourcelines(cls)[1]}"
    except (OSError, TypeError):  # no source, as in an interactive session
        place = ""
    return f"{cls.__module__}.{cls.__qualname__}{place}"
