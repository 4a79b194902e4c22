"""Tensor types: which element type each tensor of a graph has."""

from __future__ import annotations

import onnx

from targets.errors import ModelError


def tensor_types(model: onnx.ModelProto) -> dict[str, int]:
    """Give the `TensorProto` element types by name, of stored tensors too.

    What cannot be inferred is missing: sequences, and what is made from the outputs of operators that are
    none of ONNX's.

    Raises:
        ModelError: The graph contradicts itself.
    """
    try:
        graph = onnx.shape_inference.infer_shapes(model).graph
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as exc:
        raise ModelError(
            f"The types in the graph cannot be inferred: {exc}", hint="Check the file with onnx.checker."
        ) from exc
    types = {one.name: one.data_type for one in graph.initializer}
    for info in (*graph.value_info, *graph.output, *graph.input):
        kind = info.type.tensor_type.elem_type
        if kind:
            types[info.name] = kind
    return types
