"""Remedies: which TensorRT, and which JetPack, would take what this one does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from targets.operators import tensorrt_versions, versions_with
from targets.operators.releases import jetpacks_with, spell
from targets.profile import TargetProfile

if TYPE_CHECKING:
    from onnx import NodeProto

# Operators that say in one node what older ones say in several: exporters write those below this opset.
_SINCE_OPSET = {
    "LayerNormalization": 17,
    "GroupNormalization": 18,
    "Mish": 18,
    "Gelu": 20,
    "RMSNormalization": 23,
    "RotaryEmbedding": 23,
    "Attention": 23,
    "Swish": 24,
}  # the ONNX schemas' since_version


def advise(node: NodeProto, profile: TargetProfile, *, words: str = "") -> str:
    """Say what to do about a node that TensorRT does not take, or takes only without what `words` say."""
    if words:
        if "zero_point" in words:
            return "Quantize symmetrically, with zero points of 0, as `pipeline run` does for TensorRT."
        if "initializer" in words or "constant" in words:
            return (
                "Export with fixed shapes, so that it becomes a constant; `pipeline check --fix` folds them."
            )
        return "Choose another mode or attribute for this layer, or move it to post-processing."
    standard = node.domain in {"", "ai.onnx"}
    takes = versions_with(node.op_type) if standard else ()
    hints = [f"TensorRT {_spans(takes)} has it{_on_jetpack(node.op_type, profile)}."] if takes else []
    since = _SINCE_OPSET.get(node.op_type) if standard else None
    if since:
        hints.append(f"Export at opset {since - 1}, where it is made of operators that are older.")
    return " ".join([*hints, "Replace the layer before export, or move it to post-processing."])


def advise_opset() -> str:
    """Say how a model comes to an operator set that TensorRT reads."""
    return "Export at opset 17, which every TensorRT from 8.5 on reads; `--fix` converts it."


def _spans(versions: tuple[str, ...]) -> str:
    """Give `8.6 to 11.2`, or the versions that are known one by one."""
    known = tensorrt_versions()
    first, last = known.index(versions[0]), known.index(versions[-1])
    if len(versions) == 1:
        return versions[0]
    if last - first + 1 == len(versions):
        return f"{versions[0]} to {versions[-1]}"
    return ", ".join(versions)


def _on_jetpack(op: str, profile: TargetProfile) -> str:
    """Give the JetPack releases for the same module whose TensorRT takes it; "" without a module."""
    if not profile.module:
        return ""
    found = jetpacks_with(op, profile.module)
    if found:
        return f" (JetPack {spell(found, profile.module)})"
    return ", but no JetPack for this module brings it"
