"""Target profile: what we know of one device type, as its file in `targets/profiles/` says."""

from dataclasses import dataclass, field, replace
from typing import Literal, Mapping, Optional, Tuple

Precision = Literal["fp32", "fp16", "int8"]
RuntimeName = Literal["null", "onnxruntime", "openvino", "tensorrt"]
ScaleDtype = Literal["float32", "float16"]
Confidence = Literal["", "low", "medium", "high"]


@dataclass(frozen=True)
class Dialect:
    """The kind of Q/DQ graph that a target takes.

    Attributes:
        opset: ONNX operator set version of the quantized graph; a model of a newer one keeps that.
        scale_dtype: Type of the scales, and of all that is not INT8; FP16 scales need opset 19.
        symmetric: Activations too have zero point 0 (TensorRT takes nothing else); otherwise they are UINT8.
        reduced_range: Weights have 7 bits where activations are often in the upper half of their range. CPUs
            without VNNI add two products of 8 bits in 16, which saturates.
        tensor_cores: INT8 runs on Tensor Cores: convolutions with few channels stay in float.
    """

    opset: int = 17
    scale_dtype: ScaleDtype = "float32"
    symmetric: bool = True
    reduced_range: bool = False
    tensor_cores: bool = False


@dataclass(frozen=True)
class Rates:
    """Peak rates of the device, dense, for the cost model; None means nobody said.

    Attributes:
        fp16_tflops: FP16 multiply-adds, two operations each, in 10^12 a second.
        int8_tops: INT8 multiply-adds, likewise.
        bandwidth_gb_s: Of the memory, in 10^9 bytes a second.
    """

    fp16_tflops: Optional[float] = None
    int8_tops: Optional[float] = None
    bandwidth_gb_s: Optional[float] = None


@dataclass(frozen=True)
class Budgets:
    """What the target's application can afford; None means nobody said.

    Attributes:
        p99_ms: Latency of one picture, 99th percentile, in milliseconds.
        memory_mib: Peak memory of the process that runs the engine, in MiB.
    """

    p99_ms: Optional[float] = None
    memory_mib: Optional[float] = None


@dataclass(frozen=True)
class TargetProfile:
    """One device type we build for.

    Attributes:
        name: As on the command line, `orin`.
        device: As its maker calls it.
        runtime: The engine library.
        runtime_version: Version the engine must be built for; empty: the one installed here.
        sm: CUDA compute capability, `8.7`; empty without a GPU.
        module: Family of Jetson modules, `agx-orin`, which decides what JetPack releases it takes
            (`targets/platforms.json`); empty off Jetson.
        jetpack: JetPack release this is for, `6.2`; empty off Jetson. `name@release` asks for another one.
        jetpacks: All known releases that it takes, oldest first.
        dialect: The quantized graph it takes.
        precisions: Candidates to build, fastest last.
        dla: Deep learning accelerator cores that TensorRT can use; 0 where the JetPack release cannot.
        local: An engine for it can be built and run on this machine.
        machine: Of its CPU, as `uname -m` says, `aarch64`; empty where only the module counts.
        threads: CPU threads of an engine; 0 leaves the choice to the runtime.
        budgets: Limits of the application.
        rates: Of the device, in its fastest power mode.
        memory_gb: Of the device, in 10^9 bytes as its maker counts; on Jetson shared with the CPU.
        power_modes: By their watts or name, slowest first.
        confidence: How sure the figures of the device are.
        sources: Where each fact comes from, by field name.
    """

    name: str
    device: str
    runtime: RuntimeName
    runtime_version: str = ""
    sm: str = ""
    jetpack: str = ""
    dialect: Dialect = field(default_factory=Dialect)
    precisions: Tuple[Precision, ...] = ("fp32", "int8")
    dla: int = 0
    local: bool = True
    threads: int = 0
    budgets: Budgets = field(default_factory=Budgets)
    rates: Rates = field(default_factory=Rates)
    module: str = ""
    machine: str = ""
    jetpacks: Tuple[str, ...] = ()
    memory_gb: Optional[float] = None
    power_modes: Tuple[str, ...] = ()
    confidence: Confidence = ""
    sources: Mapping[str, str] = field(default_factory=dict)


def technical(profile: TargetProfile) -> TargetProfile:
    """Give what of a profile an engine depends on: with other budgets it is still the same engine."""
    return replace(
        profile,
        budgets=Budgets(),
        sources={},
        jetpacks=(),
        power_modes=(),
        memory_gb=None,
        confidence="",
    )
