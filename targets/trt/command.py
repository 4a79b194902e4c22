"""The `trtexec` command line that builds and times an engine as we do."""

import shlex
from pathlib import Path
from typing import List

from targets.kit import BoardWork
from targets.platforms import number
from targets.trt.network import Precisions


def trtexec(
    model: Path, plan: Path, work: BoardWork, precisions: Precisions, *, version: str, strongly_typed: bool
) -> str:
    """Give the command line.

    From 11.0 on trtexec launches CUDA graphs, spins, and leaves copies out by default; before, it does the
    opposite, so that it has to be told (NVIDIA/TensorRT v10.3 and v11.1, samples/common).

    Args:
        model: The ONNX file.
        plan: That it is to write.
        work: How the engine is built.
        precisions: Of the graph.
        version: Of TensorRT.
        strongly_typed: The network takes the graph's types.
    """
    major = (number(version.split("-", maxsplit=1)[0]) or (0,))[0]
    parts = ["trtexec", f"--onnx={model.name}", f"--saveEngine={plan.name}", "--profilingVerbosity=detailed"]
    parts += _typing(precisions, major=major, strongly_typed=strongly_typed)
    if work.workspace_mib:
        parts.append(f"--memPoolSize=workspace:{work.workspace_mib}")
    if work.optimization_level >= 0:
        parts.append(f"--builderOptimizationLevel={work.optimization_level}")
    if work.dla_core >= 0:
        parts += [f"--useDLACore={work.dla_core}", "--allowGPUFallback"]
    parts += [f"--warmUp={round(work.warmup_s * 1e3)}", f"--duration={round(work.seconds)}"]
    parts += [] if major >= 11 else ["--noDataTransfers", "--useCudaGraph", "--useSpinWait"]
    return " ".join(map(shlex.quote, parts))


def _typing(precisions: Precisions, *, major: int, strongly_typed: bool) -> List[str]:
    if major >= 11:
        return []
    if strongly_typed:
        return ["--stronglyTyped"]
    return [
        *(["--fp16"] if precisions.fp16 or precisions.int8 else []),
        *(["--int8"] if precisions.int8 else []),
    ]
