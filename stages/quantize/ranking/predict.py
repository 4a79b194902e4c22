"""Predict: how long a device takes for a whole model, by the roofline of its weighted operators."""

from __future__ import annotations

from stages.artifact import Artifact
from stages.quantize.ranking.cost import CostModel, Load


def predict_ms(onnx: Artifact, costs: CostModel, *, int8: bool) -> float:
    """Give the least time that one picture can take, in the cost model's unit.

    Args:
        onnx: A folder with `model.onnx`, in float.
        costs: Of the device; its unit should be milliseconds.
        int8: All weighted operators are INT8, instead of the device's float type.

    Raises:
        ModelError: The model cannot be read, or has no fixed shapes.
    """
    return sum(costs.of(load, int8=int8) for load in _loads(onnx))


def _loads(onnx: Artifact) -> list[Load]:
    from stages.quantize.calibration.calibrate import load_float
    from stages.quantize.graph import Graph
    from stages.quantize.placement.head import is_weighted
    from stages.quantize.ranking.cost import load_of

    graph = Graph(load_float(onnx / "model.onnx"))
    return [load_of(graph, node) for node in graph.nodes if is_weighted(node, graph.weights)]
