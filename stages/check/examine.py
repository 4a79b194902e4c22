"""Examining models: what the file says by itself, then what the runtime, or its operator table, says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from stages.check import Answer, Finding
from stages.check.ask import ask
from stages.check.complaints import name_of, read_complaint
from stages.check.dla import place_on_dla
from stages.check.origin import line_of, module_of
from stages.check.table import Parts, compare_with_table
from stages.check.view import views_of
from stages.onnx_files import load_onnx, nodes_of
from targets.errors import ModelError
from targets.operators import load_tensorrt_operators
from targets.profile import TargetProfile

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto


def check_files(
    paths: Sequence[Path], profile: TargetProfile, *, timeout_s: float = 60.0
) -> list[tuple[Finding, ...] | ModelError]:
    """Check many files, the runtime being started once.

    Args:
        paths: Of ONNX files.
        profile: Of the target.
        timeout_s: How long the runtime may look at all of them.

    Returns:
        In the order of `paths`, the findings, or why the file is none that can be checked.

    Raises:
        EvidenceError: The runtime that has to be asked is not installed.
    """
    models = [_load(path) for path in paths]
    sound = [model for model in models if not isinstance(model, ModelError)]
    verdicts = iter(_judge(sound, profile, timeout_s))
    return [
        model
        if isinstance(model, ModelError)
        else _located((*next(verdicts), *_look_at_inputs(model)), model)
        for model in models
    ]


def _load(path: Path) -> ModelProto | ModelError:
    try:
        return load_onnx(path)
    except ModelError as exc:
        return exc


def examine(
    model: ModelProto, profiles: Sequence[TargetProfile], *, timeout_s: float = 60.0
) -> tuple[Answer, ...]:
    """Check one model for several targets.

    Args:
        model: As `load_onnx` gives it.
        profiles: Of the targets.
        timeout_s: How long a runtime may look at it.

    Returns:
        In the order of `profiles`.

    Raises:
        EvidenceError: A runtime that has to be asked is not installed.
    """
    parts = list(views_of(model))
    kinds = {_kind(profile): profile for profile in profiles}
    found = {
        kind: _located((*_judge([model], profile, timeout_s, [parts])[0], *_look_at_inputs(model)), model)
        for kind, profile in kinds.items()
    }
    return tuple(
        Answer(findings=found[_kind(profile)], dla=place_on_dla(*parts[0], profile)) for profile in profiles
    )


def _kind(profile: TargetProfile) -> tuple[object, ...]:
    """Give all that findings depend on."""
    facts = (profile.runtime, profile.runtime_version, profile.sm, profile.jetpack, profile.precisions)
    return facts if profile.runtime == "tensorrt" else facts[:1]


def _judge(
    models: Sequence[ModelProto],
    profile: TargetProfile,
    timeout_s: float,
    parts: Sequence[Parts] | None = None,
) -> list[tuple[Finding, ...]]:
    if profile.runtime == "null":
        return [() for _ in models]
    if profile.runtime == "tensorrt":
        table = load_tensorrt_operators(profile.runtime_version)
        seen = parts or (list(views_of(model)) for model in models)
        return [
            compare_with_table(model, table, profile, parts=each)
            for model, each in zip(models, seen, strict=True)
        ]
    complaints = ask(profile.runtime, [model.SerializeToString() for model in models], timeout_s=timeout_s)
    return [
        read_complaint(complaint, model, profile.runtime)
        for complaint, model in zip(complaints, models, strict=True)
    ]


def _located(findings: Sequence[Finding], model: ModelProto) -> tuple[Finding, ...]:
    """Add to each finding the module and the line that its node comes from."""
    nodes = {name_of(node): node for node in nodes_of(model)}
    return tuple(
        replace(one, module=module_of(nodes[one.node]), line=line_of(nodes[one.node]))
        if one.op and one.node in nodes
        else one
        for one in findings
    )


def _look_at_inputs(model: ModelProto) -> tuple[Finding, ...]:
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    if not inputs:
        return (
            Finding(
                node="",
                op="",
                severity="warning",
                reason="The model has no input: it always gives the same.",
                remedy="Export the model with the picture as its input.",
            ),
        )
    return tuple(
        Finding(
            node=value.name,
            op="",
            severity="warning",
            reason=f"Input '{value.name}' has no fixed shape: {_shape(value)}.",
            remedy="Engines here have fixed shapes; export with fixed batch, height and width.",
        )
        for value in inputs
        if "?" in _shape(value)
    )


def _shape(value: ValueInfoProto) -> str:
    """Give the shape as `1x3x?x?`; `?` alone where even the rank is open."""
    tensor = value.type.tensor_type
    if value.type.HasField("tensor_type") and not tensor.HasField("shape"):
        return "?"
    sides = (str(side.dim_value) if side.HasField("dim_value") else "?" for side in tensor.shape.dim)
    return "x".join(sides)
