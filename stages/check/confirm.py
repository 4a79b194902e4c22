"""Confirming what the tables say by the parser of an installed TensorRT, whose word counts."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import stages
from stages.check import Finding, trt_parser
from stages.check.complaints import name_of, op_of
from targets.operators import number
from targets.profile import TargetProfile

if TYPE_CHECKING:
    from onnx import ModelProto

Asked = Callable[[], "trt_parser.Answer | str"]
_ROOT = Path(stages.__file__).parent.parent  # `-m` looks for our packages in the current folder first
_REPORT = "Please report it to the makers of Edgebound, with the versions and the node."
_REPLACE = "Replace the layer before export, or move it to post-processing."


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """What the tables and the parser say together.

    Attributes:
        findings: Errors first.
        by: Version of the TensorRT whose parser was asked; "" where none was.
    """

    findings: tuple[Finding, ...]
    by: str = ""


def find_installed() -> str:
    """Give the version of the TensorRT that Python finds here, as a step's key has it; "" without one."""
    if importlib.util.find_spec("tensorrt") is None:
        return ""
    names = importlib.metadata.packages_distributions().get("tensorrt", [])
    return importlib.metadata.version(names[0]) if names else ""


def confirm(
    findings: Sequence[Finding], model: ModelProto, profile: TargetProfile, *, asked: Asked
) -> Confirmed:
    """Ask the parser of the TensorRT that is installed, if it is the target's, and let its word count.

    Args:
        findings: What the tables say.
        model: As `load_named` gives it.
        profile: Of the target.
        asked: Asks it about the model, as `ask_installed` does.
    """
    version = find_installed()
    same = number(version) == number(profile.runtime_version)
    if not version or not (same or profile.local):
        return Confirmed(findings=tuple(findings))
    answer = asked()
    if isinstance(answer, str):
        reason = f"TensorRT {version} is installed here, but its parser could not be asked: {answer}"
        unasked = Finding(
            node="", op="", severity="warning", reason=reason, remedy="Tables alone have answered."
        )
        return Confirmed(findings=(*findings, unasked))
    if answer.takes:
        seen = [_overruled(one, answer, ours=same) for one in findings]
    else:
        seen = _refused(findings, answer, model, ours=same)
    return Confirmed(
        findings=tuple(sorted(seen, key=lambda one: one.severity)),  # "error" comes before "warning"
        by=answer.version,
    )


def ask_installed(model: ModelProto, timeout_s: float) -> trt_parser.Answer | str:
    """Give the answer of the installed parser, or why there is none.

    Args:
        model: With all its data in it: the parser is given no folder to look into.
        timeout_s: How long it may take.
    """
    with tempfile.NamedTemporaryFile(prefix="edgebound-check-", suffix=".onnx") as file:
        file.write(model.SerializeToString())
        file.flush()
        try:
            done = subprocess.run(
                [sys.executable, "-m", trt_parser.__name__, file.name],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=timeout_s,
                cwd=_ROOT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"it did not finish within {timeout_s:g} s."
    if done.returncode != 0 or not done.stdout:
        code = done.returncode
        return f"it crashed ({signal.Signals(-code).name if code < 0 else f'exit code {code}'})."
    said: dict[str, Any] = json.loads(done.stdout)
    if "problem" in said:
        return str(said["problem"])
    refusals = tuple(trt_parser.Refusal(**one) for one in said["refusals"])
    return trt_parser.Answer(version=said["version"], takes=said["takes"], refusals=refusals)


def _overruled(finding: Finding, answer: trt_parser.Answer, *, ours: bool) -> Finding:
    """Turn an error into a warning, as the parser takes the model."""
    if finding.severity == "warning":
        return finding
    blame = ": the tables are wrong, which is an error of Edgebound" if ours else ""
    reason = f"{finding.reason} But {_parser(answer)} takes it{blame}."
    remedy = f"Nothing stands in the way here. {_REPORT}" if ours else "Nothing stands in the way here."
    return replace(finding, severity="warning", reason=reason, remedy=remedy)


def _refused(
    findings: Sequence[Finding], answer: trt_parser.Answer, model: ModelProto, *, ours: bool
) -> list[Finding]:
    """Add what the parser refuses and the tables do not, and mark what both refuse."""
    nodes = [*model.graph.node]
    refused: dict[tuple[str, str], str] = {}
    for one in answer.refusals or (trt_parser.Refusal(index=-1),):
        node = nodes[one.index] if 0 <= one.index < len(nodes) else None
        name = one.name or (name_of(node) if node else "")
        refused.setdefault((name, one.op or (op_of(node) if node else "")), one.why or "it gives no reason")
    errors = {one.node for one in findings if one.severity == "error"}
    names = {name for name, _ in refused}
    confirmed = f" So says {_parser(answer)}."
    seen = [
        replace(one, reason=one.reason + confirmed) if one.severity == "error" and one.node in names else one
        for one in findings
    ]
    # After one node that is refused, the parser may stumble over those that need it: nobody's error.
    left_open = {one.op for one in findings if one.severity == "warning" and one.op}
    for (name, op), why in refused.items():
        if name not in errors:
            blame = ours and not errors and op not in left_open
            seen.append(_refusal(name, op, why, answer=answer, blame=blame))
    return seen


def _refusal(name: str, op: str, why: str, *, answer: trt_parser.Answer, blame: bool) -> Finding:
    reason = f"T{_parser(answer)[1:]} refuses {op or 'the model'}: {why}"
    return Finding(
        node=name,
        op=op,
        severity="error",
        reason=f"{reason}. Edgebound's tables take it, which is an error of Edgebound." if blame else reason,
        remedy=f"{_REPLACE} {_REPORT}" if blame else _REPLACE,
    )


def _parser(answer: trt_parser.Answer) -> str:
    return f"the parser of the installed TensorRT {answer.version}"
