"""Float simulation: a Q/DQ graph in plain float operators, so that no CPU's integer kernels have a say.

Kernels for INT8 differ from CPU to CPU, and some saturate (design decision D1). Here QuantizeLinear becomes
Div, Round, Add and Clip, DequantizeLinear Sub and Mul, all of them in FP32: what ONNX defines (operators
QuantizeLinear-13 to -25), with nothing for a kernel to choose.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from stages.evaluation.half import half_simulated
from stages.evaluation.qdq import BOUNDS, Reader, is_quantized, refuse_other_forms
from stages.onnx_files import graphs_of, load_onnx, nodes_of
from targets.errors import ModelError, UnsupportedError
from targets.profile import TargetProfile
from targets.runtimes.ort import MODEL_NAME, OrtRuntime

if TYPE_CHECKING:
    from targets.runtime import Infer


@contextmanager
def open_simulation(folder: Path, profile: TargetProfile) -> Iterator[Infer]:
    """Load `folder/model.onnx` in ONNX Runtime; in FP32 throughout, but rounded as its INT8 and FP16 are.

    Args:
        folder: An FP32 model in it is opened as it is.
        profile: Says how many threads.

    Raises:
        ModelError: It is no ONNX model, or in a form that `simulated` or `half_simulated` does not take.
        UnsupportedError: ONNX Runtime cannot run it.
    """
    model = load_onnx(folder / MODEL_NAME)
    rewritten = half_simulated(simulated(model))
    if rewritten == model:
        with OrtRuntime().open(folder, profile) as infer:
            yield infer
        return
    with TemporaryDirectory(prefix="edgebound-") as made:
        onnx.save(rewritten, Path(made) / MODEL_NAME)
        del model, rewritten
        try:
            with OrtRuntime().open(Path(made), profile) as infer:
                yield infer
        except (ModelError, UnsupportedError) as exc:
            raise type(exc)(exc.what.replace(made, str(folder)), hint=exc.hint) from exc


def simulated(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give a new model that computes the same in float.

    Weights come out as the floats that their integers stand for. Operators between a QuantizeLinear and its
    DequantizeLinear, which may only move values, work on integers as before.

    Raises:
        ModelError: It is quantized in blocks, in other types than INT8 and UINT8, with scales that are
            computed or do not fit, within a body of `If` or `Loop`, or by operators other than Q/DQ.
    """
    refuse_other_forms(model)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    if is_quantized(model):
        _Rewrite(result, Reader(model)).run()
    return result


class _Rewrite:
    """A model under way from Q/DQ to float."""

    def __init__(self, model: onnx.ModelProto, reader: Reader) -> None:
        self._model = model
        self._graph = model.graph
        self._reader = reader
        self._nodes: list[onnx.NodeProto] = []
        self._integers: dict[str, str] = {}  # what a QuantizeLinear gives, and its name as a float tensor
        self._ends = {one.name for graph in graphs_of(model) for one in graph.output}
        self._read_as_integers = self._ends | {
            name for node in nodes_of(model) if node.op_type != "DequantizeLinear" for name in node.input
        }
        self._taken = set(_names(model))

    def run(self) -> None:
        """Replace all Q/DQ nodes, and drop the constants that nobody reads any more."""
        before = self._read_names()
        rewriters = {"QuantizeLinear": self._quantize, "DequantizeLinear": self._dequantize}
        for node in self._graph.node:
            rewriters.get(node.op_type, self._nodes.append)(node)
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in self._nodes]
        del self._graph.node[:]
        self._graph.node.extend(copies)
        self._drop(before - self._read_names())

    def _quantize(self, node: onnx.NodeProto) -> None:
        rounding = self._reader.read(node)
        result = node.output[0]
        steps = self._add("Div", self._float(node.input[0]), self._store(f"{result}_scale", rounding.scale))
        integers = self._add("Round", steps)  # halves to even, as QuantizeLinear does
        if rounding.zero_point.any():
            integers = self._add("Add", integers, self._store(f"{result}_zero_point", rounding.zero_point))
        low, high = (self._store(f"{result}_bound", end) for end in BOUNDS[rounding.kind])
        self._integers[result] = self._add("Clip", integers, low, high)
        if result in self._read_as_integers:
            self._add("Cast", self._integers[result], result=result, to=rounding.kind)

    def _dequantize(self, node: onnx.NodeProto) -> None:
        rounding = self._reader.read(node)
        source, result = node.input[0], node.output[0]
        stored = self._reader.constant(source)
        if stored is not None:
            self._graph.initializer.append(numpy_helper.from_array(rounding.dequantize(stored), result))
            return
        values = self._integers.get(source) or self._float(source)
        if rounding.zero_point.any():
            values = self._add("Sub", values, self._store(f"{result}_zero_point", rounding.zero_point))
        scale = self._store(f"{result}_scale", rounding.scale)
        if rounding.result == TensorProto.FLOAT:
            self._add("Mul", values, scale, result=result)
        else:
            self._add("Cast", self._add("Mul", values, scale), result=result, to=rounding.result)

    def _float(self, name: str) -> str:
        return self._add("Cast", name, to=TensorProto.FLOAT)  # ONNX Runtime drops it where it changes nothing

    def _add(self, operator: str, *inputs: str, result: str = "", **attributes: int) -> str:
        result = result or self._name(f"{inputs[0]}_{operator}")
        name = self._name(f"{result}_simulated")
        self._nodes.append(helper.make_node(operator, list(inputs), [result], name, **attributes))
        return result

    def _store(self, wish: str, values: NDArray[Any] | int) -> str:
        name = self._name(wish)
        self._graph.initializer.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
        return name

    def _name(self, wish: str) -> str:
        name, number = wish, 0
        while name in self._taken:
            number += 1
            name = f"{wish}_{number}"
        self._taken.add(name)
        return name

    def _read_names(self) -> set[str]:
        return self._ends | {name for node in nodes_of(self._model) for name in node.input}

    def _drop(self, names: set[str]) -> None:
        """Drop constants; in old files they are among the inputs too."""
        constants = {one.name for one in self._graph.initializer} & names
        for entries in (self._graph.initializer, self._graph.input):
            for place in reversed(range(len(entries))):
                if entries[place].name in constants:
                    del entries[place]


def _names(model: onnx.ModelProto) -> Iterator[str]:
    """Give every name in use, of tensors and of nodes."""
    for graph in graphs_of(model):
        for one in (*graph.input, *graph.output, *graph.initializer):
            yield one.name
    for node in nodes_of(model):
        yield from (node.name, *node.input, *node.output)
