"""From an ONNX file to a network: what the graph asks for, and TensorRT's parser."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Tuple

from targets.trt.explain import parsing_failed
from targets.trt.library import Features
from targets.trt.log import Log


@dataclass(frozen=True)
class Precisions:
    """What a network computes in, as its graph says.

    Attributes:
        int8: It has Q/DQ.
        fp16: Some of it is FP16.
    """

    int8: bool
    fp16: bool


def parse(trt: Any, builder: Any, model: Path, *, features: Features, logger: Any, log: Log) -> Any:
    """Parse an ONNX file, all of it within that file, into a network.

    Raises:
        UnsupportedError: The parser refuses it; with the first node that it names.
    """
    network = builder.create_network(_flags(trt, features))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model.read_bytes()):
        raise parsing_failed([_told(parser.get_error(place)) for place in range(parser.num_errors)], log)
    return network


def _flags(trt: Any, features: Features) -> int:
    kinds = trt.NetworkDefinitionCreationFlag
    flags = 0
    if features.strongly_typed:
        flags |= 1 << int(kinds.STRONGLY_TYPED)
    if features.explicit_batch:
        flags |= 1 << int(kinds.EXPLICIT_BATCH)
    return flags


def _told(error: Any) -> Tuple[str, str, str]:
    """Give node, operator and reason of a parser's error; 8.x knows only the node's number."""
    if hasattr(error, "node_name"):
        return str(error.node_name()), str(error.node_operator()), str(error.desc())
    return f"node {error.node()}", "", str(error.desc())


def precisions_of(trt: Any, network: Any) -> Precisions:
    """Look at the types of a network."""
    int8 = fp16 = False
    for place in range(network.num_layers):
        layer = network.get_layer(place)
        int8 = int8 or layer.type == trt.LayerType.QUANTIZE
        fp16 = fp16 or any(
            layer.get_output(output).dtype == trt.DataType.HALF for output in range(layer.num_outputs)
        )
    return Precisions(int8=int8, fp16=fp16)


def int8_layers(trt: Any, network: Any) -> List[str]:
    """Give the names of the layers that read what was dequantized: they are to run in INT8."""
    from_int8 = set()
    wanted = []
    for place in range(network.num_layers):
        layer = network.get_layer(place)
        if layer.type == trt.LayerType.DEQUANTIZE:
            from_int8.add(layer.get_output(0).name)
        elif layer.type == trt.LayerType.CONVOLUTION and layer.get_input(0).name in from_int8:
            wanted.append(str(layer.name))
    return wanted
