"""What TensorRT's messages mean: our errors, with what to do."""

import re
from typing import List, Tuple, Type

from targets.errors import EdgeboundError, ModelError, UnsupportedError
from targets.trt.log import Log

_ASK = "`pipeline check` says what this version takes."
_MEMORY = re.compile(r"out of memory|OutOfMemory|insufficient memory|Cuda failure: 2\b", re.IGNORECASE)
_MEMORY_HINT = (
    "Close what else runs, the desktop too, or set build.workspace_mib lower; what is done is kept."
)
# Spellings: public issues, as named; the library is closed.
_KNOWN: "Tuple[Tuple[re.Pattern[str], Type[EdgeboundError], str], ...]" = (
    (_MEMORY, EdgeboundError, _MEMORY_HINT),
    (
        re.compile(r"checkLinks"),  # ultralytics#23841, #24368
        UnsupportedError,
        "TensorRT 10.3 fails on INT8 heads without NMS; take TensorRT 10.7, or build.precision: fp16.",
    ),
    (
        re.compile(r"not compatible with a strongly typed network"),
        EdgeboundError,
        "This is a fault of Edgebound: please report it with the log.",
    ),
    (
        re.compile(r"Unsupported SM|no kernel image|does not support .*compute capability"),
        UnsupportedError,
        "This TensorRT was not made for this GPU; install the one of the board's JetPack.",
    ),
    (
        re.compile(r"Could not find any implementation for node"),  # TensorRT#3124 and many
        UnsupportedError,
        "Give the builder more memory (build.workspace_mib), or leave the layer out (quantize.exclude).",
    ),
)
_NODE = re.compile(r"for node (.+?)(?:\.\)|\.?\)?$)")
# Of a build that goes on: one way to run a layer did not work, and others are tried.
_HARMLESS = re.compile(r"Skipping tactic")


def parsing_failed(errors: List[Tuple[str, str, str]], log: Log) -> EdgeboundError:
    """Explain a model that the parser refuses.

    Args:
        errors: Node, operator and reason of each.
        log: Of the parser.
    """
    said = [
        f"{node or 'a node'} ({operator or 'unknown operator'}): {reason}"
        for node, operator, reason in errors
    ]
    said = said or log.errors or ["it does not say why"]
    more = f" (and {len(said) - 1} more)" if len(said) > 1 else ""
    return UnsupportedError(f"TensorRT's parser refuses the model: {said[0]}{more}", hint=_ASK)


def building_failed(log: Log) -> EdgeboundError:
    """Explain a builder that gave nothing: what it said last is why."""
    errors = [line for line in log.errors if not _HARMLESS.search(line)] or log.errors
    said = "; ".join(errors[-3:]) or "it does not say why"
    node = next((found.group(1) for line in errors for found in [_NODE.search(line)] if found), "")
    place = f" at {node.strip()}" if node else ""
    for pattern, kind, hint in _KNOWN:
        if any(pattern.search(line) for line in errors):
            return kind(f"TensorRT cannot build the engine{place}: {said}", hint=hint)
    return UnsupportedError(f"TensorRT cannot build the engine{place}: {said}", hint=_ASK)


def loading_failed(plan: bytes, log: Log) -> EdgeboundError:
    """Explain a plan that does not load."""
    if _has_ultralytics_prefix(plan):
        return ModelError(
            "The engine is one of Ultralytics', which writes metadata before the plan; TensorRT takes none.",
            hint="Build it from the ONNX file, or cut off the first four bytes and as many as they say.",
        )
    said = "; ".join(log.errors[:2]) or "it does not say why"
    short = any(_MEMORY.search(line) for line in log.errors)
    again = "Build it again here: a plan fits one kind of GPU and one TensorRT, and none if cut short."
    return ModelError(
        f"TensorRT cannot load the engine: {said}",
        hint="Free memory: stop other programs, the desktop among them." if short else again,
    )


def _has_ultralytics_prefix(plan: bytes) -> bool:
    """Look for an int32 length and JSON of that length, as `yolo export format=engine` writes."""
    length = int.from_bytes(plan[:4], "little")
    return 2 <= length <= len(plan) - 4 and plan[4:5] == b"{" and plan[3 + length : 4 + length] == b"}"
