"""Inputs and outputs of an engine: their names, types and memory on both sides."""

import ctypes
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, List, Tuple

from targets.cuda import Cuda
from targets.errors import EvidenceError, ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# By name: enum values differ between versions, and `tensorrt.nptype` of 8.x raises with numpy 1.24 and newer,
# because its table has `np.bool`.
_TYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "INT8": "int8",
    "UINT8": "uint8",
    "INT32": "int32",
    "INT64": "int64",
    "BOOL": "bool",
}


@dataclass(frozen=True)
class Tensor:
    """An input or output: its memory on both sides.

    Attributes:
        device: Address on the GPU.
        host: Address of page-locked memory.
        array: The same memory, as the engine's type says.
    """

    name: str
    device: int
    host: int
    array: "NDArray[Any]"


def names_of(trt: Any, engine: Any) -> Tuple[str, str]:
    """Give the names of the input and the output.

    Raises:
        ModelError: It has not one of each.
    """
    names: Dict[Any, List[str]] = {trt.TensorIOMode.INPUT: [], trt.TensorIOMode.OUTPUT: []}
    for place in range(engine.num_io_tensors):
        name = engine.get_tensor_name(place)
        names[engine.get_tensor_mode(name)].append(name)
    inputs, outputs = names[trt.TensorIOMode.INPUT], names[trt.TensorIOMode.OUTPUT]
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelError(
            f"The engine has {len(inputs)} inputs and {len(outputs)} outputs; a detector has one of each.",
            hint="Export the model with the picture as its only input, decoding in the graph.",
        )
    return inputs[0], outputs[0]


def allocate(cuda: Cuda, stack: ExitStack, engine: Any, context: Any, name: str) -> Tensor:
    """Give a tensor memory on both sides, freed when the stack unwinds.

    Raises:
        ModelError: Nobody knows its size, or its type has no counterpart here.
        EvidenceError: Memory ran out.
    """
    import numpy as np

    shape = tuple(context.get_tensor_shape(name))
    if any(side < 0 for side in shape):
        raise ModelError(
            f"The shape of {name} depends on the data: {shape}.",
            hint="Move NMS out of the model: export without it.",
        )
    kind = engine.get_tensor_dtype(name).name
    if kind not in _TYPES:
        raise ModelError(
            f"{name} has the type {kind}.", hint="Export with inputs and outputs in FP32 or FP16."
        )
    dtype = np.dtype(_TYPES[kind])
    size = int(np.prod(shape)) * dtype.itemsize
    device = cuda.allocate(size)
    stack.callback(cuda.release, device)
    host = cuda.allocate_pinned(size)
    stack.callback(cuda.release_pinned, host)
    if not context.set_tensor_address(name, device):
        raise EvidenceError(f"TensorRT does not take the memory of {name}.", hint="Build the engine again.")
    buffer = (ctypes.c_byte * size).from_address(host)
    return Tensor(name, device, host, np.frombuffer(memoryview(buffer), dtype).reshape(shape))
