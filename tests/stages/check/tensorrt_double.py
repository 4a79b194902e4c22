"""What `parser_double.install` installs as `tensorrt`."""

import json
import os
import signal
import time
from enum import Enum, IntEnum
from pathlib import Path

import onnx

_record = json.loads((Path(__file__).parent / "tensorrt_double.json").read_text())
__version__ = _record["version"]


def _as_in_the_bindings(cls):
    """Leave a class the names that it has in this version."""
    names = _record["api"][cls.__name__]
    for name in [one for one in vars(cls) if not one.startswith("_") and one not in names]:
        delattr(cls, name)
    return cls


NetworkDefinitionCreationFlag = IntEnum(
    "NetworkDefinitionCreationFlag", _record["api"]["NetworkDefinitionCreationFlag"], start=0
)
ErrorCode = Enum("ErrorCode", _record["api"]["ErrorCode"])


@_as_in_the_bindings
class Logger:
    ERROR = 1

    def __init__(self, severity):
        assert severity == self.ERROR


def init_libnvinfer_plugins(logger, namespace):
    return isinstance(logger, Logger) and namespace == ""


@_as_in_the_bindings
class Builder:
    def __init__(self, logger):
        if _record["manner"] == "has no GPU":
            raise TypeError("pybind11::init(): factory function returned nullptr")

    def create_network(self, flags):
        strict = "STRONGLY_TYPED" in _record["api"]["NetworkDefinitionCreationFlag"]
        wanted = "STRONGLY_TYPED" if strict else "EXPLICIT_BATCH"
        assert flags == 1 << int(NetworkDefinitionCreationFlag[wanted])
        return object()


@_as_in_the_bindings
class ParserError:
    def __init__(self, index, node):
        self._index, self._node = index, node

    def node(self):
        return self._index

    def node_name(self):
        return self._node.name

    def node_operator(self):
        return self._node.op_type

    def code(self):
        return ErrorCode["UNSUPPORTED_NODE"]

    def desc(self):
        return "No importer registered\nfor this operator."


@_as_in_the_bindings
class OnnxParser:
    def __init__(self, network, logger):
        self._refused, self._subgraphs = [], []

    def supports_model_v2(self, model):
        with (Path(__file__).parent / "asked").open("a") as file:
            file.write("x")
        if _record["manner"] == "crashes":
            os.kill(os.getpid(), signal.SIGSEGV)
        if _record["manner"] == "hangs":
            time.sleep(60)
        nodes = onnx.ModelProto.FromString(model).graph.node
        self._refused = [(index, one) for index, node in enumerate(nodes) for one in _refused_in(node)]
        marked = sorted({index for index, _ in self._refused})
        self._subgraphs = [([one for one in range(len(nodes)) if one not in marked], True), (marked, False)]
        return not marked

    def supports_model(self, model):
        takes = OnnxParser._look(self, model)
        self._refused = self._refused[:1]  # 8.x stops at the first
        return takes, [] if _record["manner"] == "is silent" else self._subgraphs

    _look = supports_model_v2

    @property
    def num_errors(self):
        return len(self._refused) if _record["manner"] == "tells" else 0

    def get_error(self, index):
        return ParserError(*self._refused[index])

    @property
    def num_subgraphs(self):
        return 0 if _record["manner"] == "is silent" else len(self._subgraphs)

    def is_subgraph_supported(self, index):
        return self._subgraphs[index][1]

    def get_subgraph_nodes(self, index):
        return self._subgraphs[index][0]


def _refused_in(node):
    """Give the nodes that are refused, of this one and those within it."""
    found = [node] if node.op_type in _record["refuses"] else []
    for attribute in node.attribute:
        for inner in attribute.g.node:
            found += _refused_in(inner)
    return found
