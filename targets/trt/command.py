"""The `trtexec` command line that builds and times an engine as we do."""

import shlex
from dataclasses import dataclass
from typing import Iterator

from targets.kit import BoardWork
from targets.platforms import number
from targets.trt.library import Features
from targets.trt.onnx_wire import Look
from targets.trt.profiles import MOST, OpenInputs


@dataclass(frozen=True)
class Call:
    """What a build depends on.

    Attributes:
        model: Name of the ONNX file.
        plan: Name of the file that it becomes.
        cache: Name of the file of the timing cache; empty for none.
        version: Of TensorRT.
        inputs: Those whose batch is open.
        seen: What the model says of itself.
    """

    model: str
    plan: str
    cache: str
    version: str
    has: Features
    work: BoardWork
    inputs: OpenInputs
    seen: Look


def trtexec(call: Call) -> str:
    """Give the command line.

    From 11.0 on trtexec launches CUDA graphs, spins, and leaves copies out by default; before, it does the
    opposite, so that it has to be told (NVIDIA/TensorRT v10.3 and v11.1, samples/common). What it then calls
    GPU Compute Time is our mode `device` with a graph.
    """
    parts = ["trtexec", f"--onnx={call.model}", f"--saveEngine={call.plan}", "--profilingVerbosity=detailed"]
    major = (number(call.version.split("-", maxsplit=1)[0]) or (0,))[0]
    parts += [*_typing(call, major), *_building(call), *_shapes(call.inputs)]
    parts += [f"--warmUp={round(call.work.warmup_s * 1e3)}", f"--duration={round(call.work.seconds)}"]
    parts += [] if major >= 11 else ["--noDataTransfers", "--useCudaGraph", "--useSpinWait"]
    return " ".join(map(shlex.quote, parts))


def _typing(call: Call, major: int) -> Iterator[str]:
    if major >= 11:  # knows nothing else, and no such option
        return
    if call.has.strongly_typed:
        yield "--stronglyTyped"
        return
    if call.seen.fp16 or call.seen.int8:
        yield "--fp16"
    if call.seen.int8:
        yield "--int8"


def _building(call: Call) -> Iterator[str]:
    work = call.work
    if work.workspace_mib:
        yield f"--memPoolSize=workspace:{work.workspace_mib}"
    if work.optimization_level >= 0 and call.has.optimization_level:
        yield f"--builderOptimizationLevel={work.optimization_level}"
    if work.dla_core >= 0:
        yield from (f"--useDLACore={work.dla_core}", "--allowGPUFallback")
    if call.cache:
        yield f"--timingCacheFile={call.cache}"


def _shapes(inputs: OpenInputs) -> Iterator[str]:
    for option, batch in (("min", 1), ("opt", 1), ("max", MOST)):
        if inputs:
            sizes = (f"{name}:{'x'.join(map(str, (batch, *shape[1:])))}" for name, shape in inputs)
            yield f"--{option}Shapes={','.join(sizes)}"
