"""Models without the bulk of their weights: no verdict depends on it, and moving it is what takes the time.

A large float or 8-bit initializer keeps its name, type and shape, but refers to one file of made-up numbers
that all of them share. Everything else stays: smaller tensors, integers, as they may be shapes or indices,
and tensors whose data do not fit their shape, as that is for the runtime to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto

_BULK_BYTES = 2**16  # scales and zero points, one a channel, are far below
# Bytes of an element by onnx.TensorProto.DataType: FP32, UINT8, INT8, FP16, FP64, BF16, four kinds of FP8.
_SIZES = {1: 4, 2: 1, 3: 1, 10: 2, 11: 8, 16: 2, 17: 1, 18: 1, 19: 1, 20: 1}
_PLAIN = {"name", "data_type", "dims", "doc_string"}
_WEIGHTS = "weights"
# Positive, finite and not 1 in each of these types: nothing is divided by it, or left out as without effect.
_MADE_UP = b"\x3c" * 2**20


def write_lean(models: Sequence[ModelProto], folder: Path) -> None:
    """Write `0.onnx`, `1.onnx` and so on, and the file that their weights are said to be in."""
    most = 0
    for index, model in enumerate(models):
        copy, needs = _lean(model)
        (folder / f"{index}.onnx").write_bytes(copy.SerializeToString())
        most = max(most, needs)
    with (folder / _WEIGHTS).open("wb") as file:
        for _ in range(0, most, len(_MADE_UP)):
            file.write(_MADE_UP)


def _lean(model: ModelProto) -> tuple[ModelProto, int]:
    """Give a copy, and the size in bytes of its largest tensor that is not in it."""
    from onnx import ModelProto as Model

    copy = Model()
    _copy_but("graph", model, copy)
    _copy_but("initializer", model.graph, copy.graph)
    most = 0
    for tensor in model.graph.initializer:
        size = _bulk(tensor)
        if size:
            _refer(copy.graph.initializer.add(), tensor, size)
            most = max(most, size)
        else:
            copy.graph.initializer.append(tensor)
    return copy, most


def _copy_but(name: str, source: Any, target: Any) -> None:
    """Copy all fields of a message but one."""
    for field, value in source.ListFields():
        if field.name == name:
            continue
        if hasattr(value, "extend"):
            getattr(target, field.name).extend(value)
        elif field.message_type:
            getattr(target, field.name).CopyFrom(value)
        else:
            setattr(target, field.name, value)


def _bulk(tensor: TensorProto) -> int:
    """Give the size in bytes of data that can be made up; 0 where they have to stay."""
    size = _SIZES.get(tensor.data_type, 0)
    for side in tensor.dims:
        size *= max(side, 0)
    if size < _BULK_BYTES:
        return 0
    data = {field.name: value for field, value in tensor.ListFields() if field.name not in _PLAIN}
    fits = {
        ("raw_data",): len(data.get("raw_data", b"")) == size,
        ("float_data",): len(data.get("float_data", ())) * 4 == size and tensor.data_type == 1,
    }
    return size if fits.get(tuple(data), False) else 0


def _refer(target: TensorProto, tensor: TensorProto, size: int) -> None:
    from onnx import TensorProto as Tensor

    target.name, target.data_type = tensor.name, tensor.data_type
    target.dims.extend(tensor.dims)
    target.data_location = Tensor.EXTERNAL
    for key, value in {"location": _WEIGHTS, "offset": "0", "length": str(size)}.items():
        target.external_data.add(key=key, value=value)
