"""Conversion: an FP32 graph, with Q/DQ or without, becomes a typed FP16 graph, its ends still FP32."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import count

import onnx
from onnx import TensorProto, helper, numpy_helper

from stages.onnx_files import graphs_of, nodes_of
from stages.quantize.graph import Graph, name_nodes
from stages.quantize.half.assign import Assignment
from stages.quantize.half.constants import retype, store_constants, to_float16
from stages.quantize.half.scales import fit_scales
from stages.quantize.half.slots import Slots, find_slots
from stages.quantize.opset import opset_of
from stages.quantize.rules.parsers import HALF_OPSET, HALVES
from stages.tensor_types import tensor_types
from targets.errors import ModelError


def to_half(
    model: onnx.ModelProto, keep_fp32: Collection[str] = (), *, only: bool = False
) -> onnx.ModelProto:
    """Give a new model that computes in FP16 wherever ONNX lets it.

    Nodes, inputs and outputs keep their names. Types are cast where they meet, once a tensor. Operators that
    have no FP16 form, or bodies, stay in FP32, and so does what only moves values between nodes in FP32.

    Args:
        model: FP32. With Q/DQ it needs opset 19, and scales become FP16.
        keep_fp32: Names of nodes that are to compute in FP32.
        only: Keep no others for their sake: to see what it costs to have a node in FP16, not to run.

    Raises:
        ModelError: It holds FP16 or FP64 already, Q/DQ below opset 19, or a constant that is beyond FP16 in a
            node that is not kept; it has no node of such a name; or it contradicts itself.
    """
    _check(model, "The model is not valid", full=False)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    name_nodes(result)
    _refuse_unknown(result, keep_fp32)
    store_constants(result)
    _drop_stored_inputs(result)
    types = tensor_types(result)
    opset = opset_of(result)
    _refuse(result, types, opset)
    assignment = Assignment(Graph(result), types, opset=opset, kept=keep_fp32, only=only)
    fit_scales(result, assignment)
    _Conversion(result, types, assignment).run()
    _check(result, "The graph in FP16 would not be valid", full=True)
    return result


def half_nodes(model: onnx.ModelProto) -> list[str]:
    """Give the names of the nodes that have an FP16 form, in the order of the graph.

    Args:
        model: FP32, with named nodes.
    """
    types, opset = tensor_types(model), opset_of(model)
    return [node.name for node in model.graph.node if find_slots(node, types, opset) != Slots()]


def _refuse(model: onnx.ModelProto, types: Mapping[str, int], opset: int) -> None:
    kinds = set(types.values())
    if kinds & HALVES:
        raise ModelError("The model holds FP16 already.", hint="Give the FP32 export.")
    if TensorProto.DOUBLE in kinds:
        raise ModelError("The model computes in FP64.", hint="Export it in FP32.")
    quantized = any(node.op_type in {"QuantizeLinear", "DequantizeLinear"} for node in nodes_of(model))
    if quantized and opset < HALF_OPSET:
        raise ModelError(
            f"ONNX has no Q/DQ in FP16 at opset {opset}, only from {HALF_OPSET} on.",
            hint="Set `dialect.opset` to 19 or 20 in the target's profile.",
        )


def _refuse_unknown(model: onnx.ModelProto, keep_fp32: Collection[str]) -> None:
    unknown = sorted(set(keep_fp32) - {node.name for node in model.graph.node})
    if unknown:
        raise ModelError(
            f"The model has no node '{unknown[0]}', which is to stay in FP32.",
            hint="Find what is fragile in the same model.",
        )


def _drop_stored_inputs(model: onnx.ModelProto) -> None:
    """Take stored tensors out of the list of inputs, where files of IR version 3 had to have them."""
    stored = {one.name for one in model.graph.initializer}
    for place in reversed(range(len(model.graph.input))):
        if model.graph.input[place].name in stored:
            del model.graph.input[place]
            model.ir_version = max(model.ir_version, 4)


def _check(model: onnx.ModelProto, told: str, *, full: bool) -> None:
    try:
        onnx.checker.check_model(model, full_check=full)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as exc:
        raise ModelError(f"{told}: {exc}", hint="Check the FP32 model with onnx.checker.") from exc


class _Conversion:
    """A model under way from FP32 to FP16."""

    def __init__(self, model: onnx.ModelProto, types: Mapping[str, int], assignment: Assignment) -> None:
        self._graph = model.graph
        self._types = types
        self._assignment = assignment
        self._stored = {one.name for one in model.graph.initializer}
        self._outputs = {one.name for one in model.graph.output}
        self._taken = set(_names(model))
        self._others: dict[
            str, str
        ] = {}  # what a tensor is called in the type that does not have its old name

    def run(self) -> None:
        """Replace constants, attributes and names, and put in the casts."""
        nodes: list[onnx.NodeProto] = []
        for tensor in [one for one in self._graph.initializer if one.data_type == TensorProto.FLOAT]:
            self._store(tensor)
        for source in self._graph.input:
            nodes += self._casts(source.name)
        for node in self._graph.node:
            nodes.append(self._converted(node))
            for name in node.output:
                nodes += self._casts(name)
        del self._graph.node[:]
        self._graph.node.extend(nodes)
        del self._graph.value_info[:]  # of the old types

    def _store(self, tensor: onnx.TensorProto) -> None:
        """Store a constant in the types that its readers want."""
        name = tensor.name
        reader = self._assignment.half_reader(name)
        if not reader:
            return
        halved = numpy_helper.from_array(
            to_float16(numpy_helper.to_array(tensor), name, reader), self._named(name, half=True)
        )
        if halved.name == name:
            tensor.CopyFrom(halved)
        else:
            self._graph.initializer.append(halved)

    def _casts(self, name: str) -> Iterator[onnx.NodeProto]:
        """Give the node that makes the other type of a computed tensor, where someone wants it."""
        if self._types.get(name) != TensorProto.FLOAT:
            return
        half = self._assignment.is_half(name)
        wanted = self._assignment.wanted_as_float(name) if half else self._assignment.half_reader(name)
        if wanted:
            source, result = self._named(name, half=half), self._named(name, half=not half)
            kind = TensorProto.FLOAT if half else TensorProto.FLOAT16
            yield helper.make_node("Cast", [source], [result], self._unused(f"{name}_Cast"), to=kind)

    def _converted(self, node: onnx.NodeProto) -> onnx.NodeProto:
        """Give the node with the right types."""
        copy = onnx.NodeProto.FromString(node.SerializeToString())
        for place, name in enumerate(node.input):
            if self._types.get(name) == TensorProto.FLOAT:
                copy.input[place] = self._named(name, half=self._assignment.wants_half(node, place))
        for place, name in enumerate(node.output):
            if self._assignment.is_half(name):
                copy.output[place] = self._named(name, half=True)
                retype(copy)
        return copy

    def _named(self, tensor: str, *, half: bool) -> str:
        """Give the name of a tensor in one of its types: the old one where it was made, or for an output."""
        if tensor in self._stored:
            made_half = not self._assignment.wanted_as_float(tensor)
        else:
            made_half = self._assignment.is_half(tensor) and tensor not in self._outputs
        if half == made_half:
            return tensor
        if tensor not in self._others:
            self._others[tensor] = self._unused(f"{tensor}_{'half' if half else 'float'}")
        return self._others[tensor]

    def _unused(self, wish: str) -> str:
        names = (wish if number == 0 else f"{wish}_{number}" for number in count())
        name = next(name for name in names if name not in self._taken)
        self._taken.add(name)
        return name


def _names(model: onnx.ModelProto) -> Iterator[str]:
    """Give every name in use, of tensors and of nodes."""
    for graph in graphs_of(model):
        yield from (one.name for one in (*graph.input, *graph.output, *graph.initializer))
    for node in nodes_of(model):
        yield from (node.name, *node.input, *node.output)
