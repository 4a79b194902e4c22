"""Types and shapes of values, inferred by the onnx package in a child: it can crash, and it may not end."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from stages.check.ask import ask
from stages.onnx_files import graphs_of, nodes_of

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto

Shape = tuple["int | None", ...]
SMALL = 1024  # elements; no shape, axis or count has more
_SAME = {"": "ai.onnx", "ai.onnx": ""}  # two names of one domain
LIMIT_S = 5.0  # YOLOv8x takes 0.003 s


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What is known of the values of one graph, that of a body for example.

    Attributes:
        shapes: By name; a side that is open is None.
        types: ONNX element types (`TensorProto.INT64`), by name.
    """

    shapes: Mapping[str, Shape] = field(default_factory=dict)
    types: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Inferred:
    """What is known of the values of a model.

    Attributes:
        scopes: One for each graph, as `graphs_of` gives them.
        trouble: Why there is no more than the file itself says; "" if there is.
    """

    scopes: tuple[Scope, ...]
    trouble: str = ""


def infer(models: Sequence[ModelProto], *, timeout_s: float = LIMIT_S) -> list[Inferred]:
    """Infer types and shapes of each model; where that fails, what the file says stands.

    Args:
        models: As `load_onnx` gives them.
        timeout_s: How long one model may take.
    """
    with tempfile.TemporaryDirectory(prefix="edgebound-check-") as name:
        folder = Path(name)
        for index, model in enumerate(models):
            (folder / f"{index}.onnx").write_bytes(_skeleton(model).SerializeToString())
        complaints = ask("onnx", folder, len(models), timeout_s=timeout_s)
        return [
            _read(model, folder / f"{index}.inferred", complaint)
            for index, (model, complaint) in enumerate(zip(models, complaints, strict=True))
        ]


def _read(model: ModelProto, inferred: Path, complaint: str) -> Inferred:
    from onnx import GraphProto
    from onnx import ModelProto as Model

    told = model if complaint else Model.FromString(inferred.read_bytes())
    # Inference leaves the graphs in their order; the skeleton has none of training, which come last.
    pairs = zip_longest(graphs_of(model), graphs_of(told), fillvalue=GraphProto())
    return Inferred(scopes=tuple(_scope(given, found) for given, found in pairs), trouble=complaint)


def _scope(given: GraphProto, found: GraphProto) -> Scope:
    shapes: dict[str, Shape] = {}
    types: dict[str, int] = {}
    for value in (*found.value_info, *found.output, *found.input):
        _note(value, shapes, types)
    for tensor in given.initializer:
        shapes[tensor.name], types[tensor.name] = tuple(tensor.dims), tensor.data_type
    return Scope(shapes=shapes, types=types)


def _note(value: ValueInfoProto, shapes: dict[str, Shape], types: dict[str, int]) -> None:
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not isinstance(value.name, str):
        return
    types[value.name] = tensor.elem_type
    if tensor.HasField("shape"):
        shapes[value.name] = tuple(
            side.dim_value if side.HasField("dim_value") else None for side in tensor.shape.dim
        )


def _skeleton(model: ModelProto) -> ModelProto:
    """Copy all but the large tensors, of which type and shape stay, as inputs."""
    from onnx import ModelProto as Model
    from onnx import helper

    copy = Model(ir_version=max(model.ir_version, 4))
    copy.opset_import.extend(model.opset_import)
    for domain, version in _missing_domains(model):
        copy.opset_import.add(domain=domain, version=version)
    copy.functions.extend(model.functions)
    graph = model.graph
    copy.graph.name = graph.name
    for field_name in ("node", "input", "output", "value_info"):
        getattr(copy.graph, field_name).extend(getattr(graph, field_name))
    given = {value.name for value in graph.input}
    for tensor in graph.initializer:
        if elements(tensor) <= SMALL:
            copy.graph.initializer.append(tensor)
        elif tensor.name not in given:
            copy.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return copy


def _missing_domains(model: ModelProto) -> Iterator[tuple[str, int]]:
    """Give domains that nodes are of and that have no version; inference would not begin because of one."""
    known = {one.domain: one.version for one in model.opset_import}
    for domain in sorted({node.domain for node in nodes_of(model)}.difference(known)):
        if domain not in _SAME:
            yield domain, 1
        elif _SAME[domain] in known:
            yield domain, known[_SAME[domain]]


def elements(tensor: TensorProto) -> int:
    """Give how many elements a tensor says that it has."""
    count = 1
    for side in tensor.dims:
        count *= max(side, 0)
    return count
