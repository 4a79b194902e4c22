"""A child process that asks the parser of the TensorRT installed here, so that its crash is not ours.

`python -m stages.check.trt_parser MODEL` prints one line of JSON: what `Answer` holds, or {"problem": "..."}
where there is nobody to ask, as without a GPU.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# What the bindings raise without a driver, a GPU, or the libraries they are made for.
_NOBODY = (ImportError, OSError, RuntimeError, TypeError)


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """What the parser has against a node.

    Attributes:
        index: Of the node among those of the graph; -1 where the parser does not say.
        name: Of the node, which may be within another one; "" where the parser does not say, as 8.6 does not.
        op: Its operator, likewise.
        why: In the parser's words; "" where it only marks the node.
    """

    index: int
    name: str = ""
    op: str = ""
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the parser says.

    Attributes:
        version: Of the TensorRT.
        takes: The whole model.
        refusals: What it does not take; may be empty although it does not take the model.
    """

    version: str
    takes: bool
    refusals: tuple[Refusal, ...] = ()


def main(model: str) -> None:
    """Ask, and print."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)  # what TensorRT prints is no answer
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # none on memory: CUDA reserves more than there is
        try:
            answers.write(json.dumps(asdict(ask_parser(Path(model).read_bytes()))) + "\n")
        except _NOBODY as exc:
            answers.write(json.dumps({"problem": str(exc) or type(exc).__name__}) + "\n")


def ask_parser(model: bytes) -> Answer:
    """Let the parser look at every node of a model, whose data are all in `model`."""
    import tensorrt as trt

    logger = trt.Logger(trt.Logger.ERROR)
    trt.init_libnvinfer_plugins(logger, "")
    flags = trt.NetworkDefinitionCreationFlag
    typed = getattr(flags, "STRONGLY_TYPED", None)  # before 10.0 there is none, and without a batch no ONNX
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(flags.EXPLICIT_BATCH if typed is None else typed))
    parser = trt.OnnxParser(network, logger)
    takes, marked = _support(parser, model)
    told = [] if takes else [_refusal(parser.get_error(index)) for index in range(parser.num_errors)]
    # A node that cannot be reached, as one before it fails, is marked too: marks count only without words.
    return Answer(
        version=trt.__version__,
        takes=takes,
        refusals=tuple(told) or tuple(Refusal(index=index) for index in marked),
    )


def _support(parser: Any, model: bytes) -> tuple[bool, list[int]]:
    """Give whether the parser takes the model, and the indices of the nodes that it does not take."""
    if hasattr(parser, "supports_model_v2"):  # 10.3 has it, 8.6 has not
        takes = parser.supports_model_v2(model)
        refused = [one for one in range(parser.num_subgraphs) if not parser.is_subgraph_supported(one)]
        return takes, [node for one in refused for node in parser.get_subgraph_nodes(one)]
    takes, subgraphs = parser.supports_model(model)
    return takes, [node for nodes, supported in subgraphs if not supported for node in nodes]


def _refusal(error: Any) -> Refusal:
    known = hasattr(error, "node_name")  # likewise
    return Refusal(
        index=error.node(),
        name=error.node_name() if known else "",
        op=error.node_operator() if known else "",
        why=f"{' '.join(error.desc().split())} ({error.code().name})",
    )


if __name__ == "__main__":
    main(sys.argv[1])
