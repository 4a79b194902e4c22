"""Cost: how long a device takes for a weighted operator, by the roofline model. Pure; light to import.

S. Williams, A. Waterman, D. Patterson: "Roofline: an insightful visual performance model for multicore
architectures", CACM 52(4), 2009: the time is that of the arithmetic or that of the memory traffic, whichever
is longer. It knows nothing of kernels, launches or fusions, so it serves to rank, not to promise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from targets.errors import ModelError
from targets.profile import TargetProfile

if TYPE_CHECKING:
    import onnx

    from stages.quantize.graph import Graph

# YOLOv8n at 320 px, FP32 against INT8 (NNCF, head in float), OpenVINO on 2 cores with AVX-512 and no VNNI,
# measured 2026-11: 1.63 times as fast. With VNNI the ratio is larger, the ranking of operators the same.
CPU_SPEEDUP = 1.63
_BYTES = {"int8": 1, "fp16": 2, "fp32": 4}

CostUnit = Literal["ms", "share of float"]


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a weighted operator has to do for one picture.

    Attributes:
        macs: Multiply-adds.
        values: Numbers that it reads and writes: activations, weights, results.
    """

    macs: int
    values: int

    def __add__(self, other: Load) -> Load:
        return Load(macs=self.macs + other.macs, values=self.values + other.values)


@dataclass(frozen=True, kw_only=True)
class CostModel:
    """What loads cost on a device.

    Attributes:
        text: What the figures rest on, for people.
        unit: `ms`, or `share of float`: of what the whole model costs with nothing in INT8.
        int8_ms: Milliseconds for a multiply-add in INT8; where the unit is a share, in any unit of time.
        float_ms: Likewise, in what the device computes in where it is not INT8.
        byte_ms: For a byte from or to memory; 0 where nobody said.
        float_bytes: Of a number that is not INT8.
    """

    text: str
    unit: CostUnit
    int8_ms: float
    float_ms: float
    byte_ms: float
    float_bytes: int

    def of(self, load: Load, *, int8: bool) -> float:
        """Give the time of an operator, or of operators that wait for the same: arithmetic or memory."""
        mac_ms, width = (self.int8_ms, 1) if int8 else (self.float_ms, self.float_bytes)
        return max(load.macs * mac_ms, load.values * width * self.byte_ms)

    def saving(self, load: Load) -> float:
        """Give what INT8 saves; never less than nothing."""
        return max(self.of(load, int8=False) - self.of(load, int8=True), 0.0)


def cost_model(profile: TargetProfile) -> CostModel:
    """Give the cost model of a target: in milliseconds if its profile has peak rates, else relative.

    What is not INT8 is FP16 with TensorRT, FP32 elsewhere. A multiply-add is two operations.
    """
    rates = profile.rates
    if not rates.fp16_tflops or not rates.int8_tops:
        return CostModel(
            text=f"multiply-adds, in INT8 {CPU_SPEEDUP} times as fast as in FP32 (YOLOv8n, CPU without VNNI)",
            unit="share of float",
            int8_ms=1 / CPU_SPEEDUP,
            float_ms=1.0,
            byte_ms=0.0,
            float_bytes=_BYTES["fp32"],
        )
    memory = f", {rates.bandwidth_gb_s:g} GB/s" if rates.bandwidth_gb_s else ""
    return CostModel(
        text=f"roofline of {profile.device}: {rates.int8_tops:g} TOPS INT8, {rates.fp16_tflops:g} TFLOPS FP16"
        f"{memory}; peak rates, so the true latency is longer",
        unit="ms",
        int8_ms=2e3 / (rates.int8_tops * 1e12),
        float_ms=2e3 / (rates.fp16_tflops * 1e12),
        byte_ms=1e3 / (rates.bandwidth_gb_s * 1e9) if rates.bandwidth_gb_s else 0.0,
        float_bytes=_BYTES["fp16"],
    )


def load_of(graph: Graph, node: onnx.NodeProto) -> Load:
    """Give the load of a weighted operator: each weight is used once for each place it is applied at.

    Raises:
        ModelError: The shape of its input or output is not known.
    """
    weight = tuple(graph.weights[node.input[1]].dims)
    before, after = (_shape(graph, node, name) for name in (node.input[0], node.output[0]))
    if node.op_type == "ConvTranspose":
        places = _size(before) // weight[0]  # (ins, outs / groups, ...): one for each input pixel
    else:
        places = _size(after) // after[-1 if node.op_type in {"MatMul", "Gemm"} else 1]
    return Load(macs=_size(weight) * places, values=_size(before) + _size(weight) + _size(after))


def _shape(graph: Graph, node: onnx.NodeProto, name: str) -> tuple[int, ...]:
    if name not in graph.shapes:
        raise ModelError(
            f"The shape of '{name}', at {node.op_type} '{node.name}', is not known.",
            hint="Export the model with fixed shapes.",
        )
    return graph.shapes[name]


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for side in shape:
        size *= side
    return size
