"""Assignment: which nodes compute in FP16, so that precision is lost and types are cast nowhere in vain."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import onnx
from onnx import TensorProto

from stages.onnx_files import graphs_of
from stages.quantize.graph import Graph
from stages.quantize.half.slots import Slots, find_slots

_WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
# They give values as they came, so that a cast before them and one behind them are the same.
MOVES = {
    "Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements", "GatherND", "Identity",
    "Reshape", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
}  # fmt: skip


class Assignment:
    """Which nodes of a graph compute in FP16, and which tensors are FP16 because of it.

    Attributes:
        slots: By node, what of it becomes FP16 if it computes in FP16.
        half: Names of the nodes that do.
    """

    def __init__(
        self, graph: Graph, types: Mapping[str, int], *, opset: int, kept: Collection[str], only: bool = False
    ) -> None:
        """Decide.

        Args:
            graph: FP32, with named nodes.
            types: Element types by tensor.
            opset: Of the model.
            kept: Names of nodes that compute in FP32.
            only: No others do, where ONNX has an FP16 form for them.
        """
        self._graph = graph
        self._types = types
        self._captured = _captured(graph.model)
        self.slots = {node.name: find_slots(node, types, opset) for node in graph.nodes}
        self.half = {
            name
            for name, slots in self.slots.items()
            if slots != Slots()
            and name not in kept
            and not self._captured.intersection(graph.named[name].output)
        }
        while not only and (widened := self._wide() | self._islands()):
            self.half -= widened

    def is_half(self, tensor: str) -> bool:
        """Say whether a computed tensor is FP16."""
        maker = self._graph.makers.get(tensor)
        if maker is None or maker.name not in self.half:
            return False
        return list(maker.output).index(tensor) in self.slots[maker.name].outputs

    def wants_half(self, node: onnx.NodeProto, position: int) -> bool:
        """Say whether an input of a node is to be FP16."""
        return node.name in self.half and position in self.slots[node.name].inputs

    def wanted_as_float(self, tensor: str) -> bool:
        """Say whether someone reads a tensor as FP32."""
        if tensor in self._graph.outputs or tensor in self._captured:
            return True
        return any(not self.wants_half(node, place) for node, place in self._graph.readers.get(tensor, []))

    def half_reader(self, tensor: str) -> str:
        """Name a node that reads a tensor as FP16; nothing if none does."""
        return next((node.name for node in self._half_readers(tensor)), "")

    def _wide(self) -> set[str]:
        return {name for name in self.half if self._is_wide(self._graph.named[name])}

    def _is_wide(self, node: onnx.NodeProto) -> bool:
        """Say whether a node had better compute in FP32, for what is around it does.

        What only moves values has nothing to gain from a way down to FP16 and up again. A DequantizeLinear
        gives what is read.
        """
        sources = [not self.is_half(name) for name in node.input if self._is_computed(name)]
        readers = [self.wanted_as_float(name) for name in node.output if self._is_computed(name)]
        if node.op_type == "DequantizeLinear":
            return any(readers)
        return node.op_type in MOVES and any(sources) and any(readers)

    def _islands(self) -> set[str]:
        """Give the nodes that are FP16 behind a node in FP32 and do nothing until the next, or the end.

        They would be cast to and fro for nothing. A weighted operator is worth two casts. A QuantizeLinear is
        an island of its own: it rounds what it is given.
        """
        islands: set[str] = set()
        seen: set[str] = set()
        for name in self.half:
            if name not in seen:
                island = self._connected(name)
                seen |= island
                nodes = [self._graph.named[one] for one in island]
                read = {one for node in nodes for one in node.input if self._is_computed(one)}
                weighted = any(node.op_type in _WEIGHTED for node in nodes)
                if not weighted and not all(map(self.is_half, read)):
                    islands |= island
        return islands

    def _connected(self, name: str) -> set[str]:
        """Give all nodes that are tied to a node by FP16 tensors."""
        found: set[str] = set()
        queue = [name]
        while queue:
            node = self._graph.named[queue.pop()]
            if node.name in found or node.name not in self.half:
                continue
            found.add(node.name)
            queue += [self._graph.makers[one].name for one in node.input if self.is_half(one)]
            for tensor in filter(self.is_half, node.output):
                queue += [reader.name for reader in self._half_readers(tensor)]
        return found

    def _half_readers(self, tensor: str) -> list[onnx.NodeProto]:
        readers = self._graph.readers.get(tensor, [])
        return [node for node, place in readers if self.wants_half(node, place)]

    def _is_computed(self, name: str) -> bool:
        return name in self._graph.makers and self._types.get(name) == TensorProto.FLOAT


def _captured(model: onnx.ModelProto) -> frozenset[str]:
    """Give the tensors of the graph that bodies within it read by name."""
    whole, *bodies = graphs_of(model)
    read = {name for body in bodies for node in body.node for name in node.input}
    read |= {one.name for body in bodies for one in body.output}
    own = {name for node in whole.node for name in node.output}
    own |= {one.name for one in (*whole.input, *whole.initializer)}
    return frozenset(read & own)
