"""Examining models: what the file says by itself, then what the runtime, or its operator table, says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from stages.check import Answer, Finding
from stages.check.ask import ask
from stages.check.bodies import name_by_place
from stages.check.complaints import CpuRuntime, name_of, read_complaint
from stages.check.confirm import Asked, Confirmed, ask_installed, confirm, find_installed
from stages.check.dla import place_on_dla
from stages.check.inference import LIMIT_S, infer
from stages.check.lean import write_lean
from stages.check.origin import line_of, module_of
from stages.check.table import Parts, compare_with_table
from stages.check.view import views_of
from stages.onnx_files import load_onnx, nodes_of
from targets.errors import ModelError
from targets.operators import load_tensorrt_operators
from targets.profile import TargetProfile

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, ValueInfoProto

_CPU_RUNTIMES: tuple[CpuRuntime, ...] = ("openvino", "onnxruntime")


def check_files(
    paths: Sequence[Path], profile: TargetProfile, *, timeout_s: float = 60.0
) -> list[tuple[Finding, ...] | ModelError]:
    """Check many files for one target, as `examine_files` does."""
    found = examine_files(paths, [profile], timeout_s=timeout_s)
    return [one if isinstance(one, ModelError) else one[0].findings for one in found]


def examine_files(
    paths: Sequence[Path], profiles: Sequence[TargetProfile], *, timeout_s: float = 60.0
) -> list[tuple[Answer, ...] | ModelError]:
    """Check many files for several targets, each runtime being started once.

    Args:
        paths: Of ONNX files.
        profiles: Of the targets.
        timeout_s: How long a runtime may look at one of the files.

    Returns:
        In the order of `paths`, the answers in the order of `profiles`, or why the file cannot be checked.

    Raises:
        EvidenceError: A runtime that has to be asked is not installed.
    """
    models = [_load(path) for path in paths]
    sound = [model for model in models if not isinstance(model, ModelError)]
    answers = iter(_examine(sound, profiles, timeout_s))
    return [model if isinstance(model, ModelError) else next(answers) for model in models]


def _load(path: Path) -> ModelProto | ModelError:
    try:
        return load_named(path)
    except ModelError as exc:
        return exc


def load_named(path: Path) -> ModelProto:
    """Read a model, and name the nodes within others by their place.

    Raises:
        ModelError: It is no ONNX model, or none that can be trusted.
    """
    model = load_onnx(path)
    name_by_place(model)
    return model


def examine(
    model: ModelProto, profiles: Sequence[TargetProfile], *, timeout_s: float = 60.0
) -> tuple[Answer, ...]:
    """Check one model for several targets.

    Args:
        model: As `load_named` gives it.
        profiles: Of the targets.
        timeout_s: How long a runtime may look at it.

    Returns:
        In the order of `profiles`.

    Raises:
        EvidenceError: A runtime that has to be asked is not installed.
    """
    (answers,) = _examine([model], profiles, timeout_s)
    return answers


@dataclass(frozen=True, kw_only=True)
class _Case:
    """A model, and what is found out about it once for all targets.

    Attributes:
        model: Itself.
        parts: As `views_of` gives them; none where no target needs them.
        trouble: Why types and shapes could not be inferred.
        complaint: Gives that of a runtime, when it has answered.
        parser: Asks that of the TensorRT that is installed, once; None where none is.
    """

    model: ModelProto
    parts: Parts
    trouble: str
    complaint: Callable[[CpuRuntime], str]
    parser: Asked | None


def _examine(
    models: Sequence[ModelProto], profiles: Sequence[TargetProfile], timeout_s: float
) -> list[tuple[Answer, ...]]:
    """Answer for each model; the CPU runtimes work while the tables are looked into."""
    runtimes = {profile.runtime for profile in profiles}
    with TemporaryDirectory(prefix="edgebound-check-") as name, ThreadPoolExecutor() as pool:
        asked: dict[CpuRuntime, Future[list[str]]] = {}
        if runtimes.intersection(_CPU_RUNTIMES):
            write_lean(models, Path(name))
        for runtime in (one for one in _CPU_RUNTIMES if one in runtimes):
            asked[runtime] = pool.submit(ask, runtime, Path(name), len(models), timeout_s=timeout_s)
        seen = _see(models, timeout_s) if "tensorrt" in runtimes else [((), "")] * len(models)
        installed = find_installed()
        cases = [
            _Case(
                model=model,
                parts=parts,
                trouble=trouble,
                complaint=partial(_result, asked, index),
                parser=cache(partial(ask_installed, model, timeout_s)) if installed else None,
            )
            for index, (model, (parts, trouble)) in enumerate(zip(models, seen, strict=True))
        ]
        return [_answer(case, profiles) for case in cases]


def _result(asked: Mapping[CpuRuntime, Future[list[str]]], index: int, runtime: CpuRuntime) -> str:
    return asked[runtime].result()[index]


def _see(models: Sequence[ModelProto], timeout_s: float) -> list[tuple[Parts, str]]:
    known = infer(models, timeout_s=min(timeout_s, LIMIT_S))
    return [(list(views_of(model, one)), one.trouble) for model, one in zip(models, known, strict=True)]


def _answer(case: _Case, profiles: Sequence[TargetProfile]) -> tuple[Answer, ...]:
    kinds = {_kind(one): one for one in sorted(profiles, key=lambda one: one.runtime in _CPU_RUNTIMES)}
    found = {kind: _judge(case, profile) for kind, profile in kinds.items()}
    common = _look_at_inputs(case.model)
    nodes = {name_of(node): node for node in nodes_of(case.model)}
    return tuple(
        Answer(
            findings=_located((*found[_kind(profile)].findings, *common), nodes),
            confirmed_by=found[_kind(profile)].by,
            dla=place_on_dla(*case.parts[0], profile) if profile.runtime == "tensorrt" else None,
        )
        for profile in profiles
    )


def _kind(profile: TargetProfile) -> tuple[object, ...]:
    """Give all that findings depend on."""
    board = (profile.sm, profile.module, profile.jetpack)
    facts = (profile.runtime, profile.runtime_version, *board, profile.precisions, profile.local)
    return facts if profile.runtime == "tensorrt" else facts[:1]


def _judge(case: _Case, profile: TargetProfile) -> Confirmed:
    """Give what stands against the model, errors first."""
    if profile.runtime == "tensorrt":
        table = load_tensorrt_operators(profile.runtime_version)
        told = compare_with_table(case.model, table, profile, parts=case.parts)
        told = (*told, *_look_at_trouble(case.trouble))
        return (
            confirm(told, case.model, profile, asked=case.parser) if case.parser else Confirmed(findings=told)
        )
    if profile.runtime == "null":
        return Confirmed(findings=())
    complaint = case.complaint(profile.runtime)
    return Confirmed(findings=read_complaint(complaint, case.model, profile.runtime))


def _look_at_trouble(trouble: str) -> Iterator[Finding]:
    if trouble:
        yield Finding(
            node="",
            op="",
            severity="warning",
            reason=f"Types and shapes of this model could not be inferred: {trouble}",
            remedy="What depends on them was not checked. See what `onnx` says of it, or export it again.",
        )


def _located(findings: Sequence[Finding], nodes: Mapping[str, NodeProto]) -> tuple[Finding, ...]:
    """Add to each finding the module and the line that its node comes from."""
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
