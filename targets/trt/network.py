"""From an ONNX file to a network: what the graph asks for, and TensorRT's parser."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Tuple

from targets.errors import ModelError
from targets.trt.explain import parsing_failed
from targets.trt.library import Features
from targets.trt.log import Log
from targets.trt.onnx_wire import Look, look


@dataclass(frozen=True)
class Source:
    """An ONNX file, all of it within that file.

    Attributes:
        path: The file.
        content: Its bytes.
        seen: What it says of itself.
    """

    path: Path
    content: bytes
    seen: Look


@dataclass(frozen=True)
class Parsed:
    """A network, and the parser that owns its weights (8.x), which must outlive it."""

    network: Any
    parser: Any


def read_model(path: Path) -> Source:
    """Read an ONNX file.

    Raises:
        ModelError: There is none, it is no ONNX file, or some of its weights are elsewhere.
    """
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise ModelError(f"{path} cannot be read: {exc.strerror}.", hint="Write the kit again.") from exc
    seen = look(content)
    if seen.external:
        # The parser would open them wherever the file says that they are, from any folder.
        raise ModelError(
            f"{path} has weights in other files: {seen.external[0] or 'unnamed'}.",
            hint="Put all weights into the ONNX file: onnx.save(onnx.load(path), path).",
        )
    return Source(path, content, seen)


def parse(trt: Any, builder: Any, source: Source, *, features: Features, logger: Any, log: Log) -> Parsed:
    """Parse an ONNX file into a network.

    Raises:
        UnsupportedError: The parser refuses it; with the first node that it names.
    """
    network = builder.create_network(_flags(trt, features))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(source.content):
        told = [_told(parser.get_error(place), source.seen) for place in range(parser.num_errors)]
        raise parsing_failed(told, log)
    return Parsed(network, parser)


def _flags(trt: Any, features: Features) -> int:
    kinds = trt.NetworkDefinitionCreationFlag
    flags = 0
    if features.strongly_typed:
        flags |= 1 << int(kinds.STRONGLY_TYPED)
    if features.explicit_batch:
        flags |= 1 << int(kinds.EXPLICIT_BATCH)
    return flags


def _told(error: Any, seen: Look) -> Tuple[str, str, str]:
    """Give node, operator and reason of a parser's error; 8.x knows only the node's number."""
    place = error.node()
    known = seen.nodes[place] if 0 <= place < len(seen.nodes) else ("", "")
    if hasattr(error, "node_name"):
        known = (str(error.node_name()) or known[0], str(error.node_operator()) or known[1])
    name, operator = known
    return name or (f"node {place}" if place >= 0 else ""), operator, str(error.desc())


def int8_layers(trt: Any, network: Any) -> List[str]:
    """Give the names of the layers that read what was dequantized: they are to run in INT8."""
    weighted = (trt.LayerType.CONVOLUTION, trt.LayerType.DECONVOLUTION, trt.LayerType.MATRIX_MULTIPLY)
    from_int8 = set()
    wanted = []
    for place in range(network.num_layers):
        layer = network.get_layer(place)
        if layer.type == trt.LayerType.DEQUANTIZE:
            from_int8.add(layer.get_output(0).name)
        elif layer.type in weighted and layer.get_input(0).name in from_int8:
            wanted.append(str(layer.name))
    return wanted


def open_inputs(network: Any) -> List[Tuple[str, Tuple[int, ...]]]:
    """Give name and shape of the inputs whose shape is open, -1 where it is."""
    found = []
    for place in range(network.num_inputs):
        tensor = network.get_input(place)
        shape = tuple(tensor.shape)
        if -1 in shape:
            found.append((str(tensor.name), shape))
    return found
