"""Fusions: where Q/DQ would come between a convolution and what TensorRT computes together with it.

An engine computes Conv, its activation and one addition in a single kernel. A Q/DQ pair between them splits
it, as NVIDIA's toolkits say (pytorch-quantization quant_resnet50.rst; tensorflow-quantization
add_custom_qdq_cases.md @v8.6.1) and NVIDIA/TensorRT#3542 shows for Conv → SiLU → Add.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from stages.quantize.graph import Graph

_CONVOLUTIONS = {"Conv", "ConvTranspose"}
_ACTIVATIONS = {
    "Clip", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish", "PRelu", "Relu", "Selu",
    "Sigmoid", "Softplus", "Swish", "Tanh",
}  # fmt: skip


def broken_fusions(graph: Graph) -> Iterator[str]:
    """Say which Q/DQ pairs come between a convolution and its activation, or its residual Add.

    Args:
        graph: With Q/DQ; its nodes have names.
    """
    for node in graph.nodes:
        if node.op_type == "QuantizeLinear":
            yield from _before_activation(graph, node)
        if node.op_type == "Mul":
            yield from _within_gate(graph, node)
        if node.op_type == "Add":
            yield from _on_branch(graph, node)


def _before_activation(graph: Graph, quantize: onnx.NodeProto) -> Iterator[str]:
    maker = graph.makers.get(quantize.input[0])
    if maker is None or maker.op_type not in _CONVOLUTIONS:
        return
    for dequantize in graph.after(quantize):
        for reader in graph.after(dequantize):
            if reader.op_type in _ACTIVATIONS:
                yield f"{quantize.name}: it comes between {maker.name} and its activation {reader.name}"


def _within_gate(graph: Graph, product: onnx.NodeProto) -> Iterator[str]:
    """Look at `x * activation(x)` with x out of a convolution, which is SiLU, or Mish."""
    for gated, gate in (product.input[:2], product.input[1::-1]):
        maker = graph.makers.get(_behind_pair(graph, gate))
        while maker is not None and maker.op_type in _ACTIVATIONS:
            source = _behind_pair(graph, maker.input[0])
            if source == _behind_pair(graph, gated) and _is_convolved(graph, source):
                if any(_behind_pair(graph, name) != name for name in (gated, gate)):
                    yield f"{product.name}: an input is quantized, within the activation of a convolution"
                return
            maker = graph.makers.get(source)


def _on_branch(graph: Graph, add: onnx.NodeProto) -> Iterator[str]:
    """Look at an Add that could be fused into the convolution that made one of its inputs."""
    behind = [_behind_pair(graph, name) for name in add.input]
    quantized = [name != given for name, given in zip(behind, add.input, strict=True)]
    fresh = [_is_branch(graph, name) for name in behind]
    if all(quantized) and any(fresh):
        yield f"{add.name}: both inputs are quantized, that of the convolution's side has to be float"
    elif any(quantized):
        branch = quantized.index(True)
        if fresh[branch] and _comes_from(graph, behind[branch], behind[1 - branch]):
            yield f"{add.name}: it is quantized on the convolution's side, not on the shortcut"


def _behind_pair(graph: Graph, name: str) -> str:
    """Give the float tensor that a dequantized one was; any other as it is."""
    dequantize = graph.makers.get(name)
    if dequantize is None or dequantize.op_type != "DequantizeLinear":
        return name
    quantize = graph.makers.get(dequantize.input[0])
    return quantize.input[0] if quantize is not None and quantize.op_type == "QuantizeLinear" else name


def _is_convolved(graph: Graph, name: str) -> bool:
    maker = graph.makers.get(name)
    return maker is not None and maker.op_type in _CONVOLUTIONS


def _is_branch(graph: Graph, name: str) -> bool:
    """Say whether a tensor comes out of a convolution, directly or by its activation."""
    maker = graph.makers.get(name)
    if maker is not None and maker.op_type in _ACTIVATIONS | {"Mul"}:
        return any(_is_convolved(graph, _behind_pair(graph, one)) for one in maker.input)
    return _is_convolved(graph, name)


def _comes_from(graph: Graph, name: str, source: str) -> bool:
    """Say whether `name` was computed from `source`."""
    seen: set[str] = set()
    front = [name]
    while front:
        maker = graph.makers.get(front.pop())
        fed = () if maker is None else [one for one in maker.input if one not in seen]
        if source in fed:
            return True
        seen.update(fed)
        front += fed
    return False
