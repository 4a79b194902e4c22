"""Check: every operator of a model against what the target's runtime can take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from stages.artifact import Artifact
from stages.stage import Progress
from targets.profile import TargetProfile


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What stands between a model and a target.

    Attributes:
        node: Its name in the graph, or that of its first output; empty where it concerns the whole model.
        op: Operator, with its domain unless that is ai.onnx.
        severity: With an error the target cannot run the model.
        reason: What is wrong.
        remedy: What to do about it.
    """

    node: str
    op: str
    severity: Literal["error", "warning"]
    reason: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class CheckInputs:
    """What is checked.

    Attributes:
        model: Folder with `model.onnx`.
        profile: Of the target.
    """

    model: Artifact
    profile: TargetProfile


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What was found, errors first."""

    findings: tuple[Finding, ...]


@dataclass(frozen=True, kw_only=True)
class Check:
    """Check an exported model."""

    name: ClassVar[str] = "check"
    resumes: ClassVar[bool] = False

    def run(self, inputs: CheckInputs, out: Path, progress: Progress) -> Checked:
        """Check `inputs.model`; it makes no file."""
        del out, progress
        return Checked(findings=check_file(inputs.model / "model.onnx", inputs.profile))


def check_file(path: Path, profile: TargetProfile, *, timeout_s: float = 60.0) -> tuple[Finding, ...]:
    """Check any ONNX file, whoever made it.

    Args:
        path: Of the file.
        profile: Of the target.
        timeout_s: How long the runtime may look at it.

    Returns:
        Errors first; nothing where the target takes the model as it is.

    Raises:
        ModelError: It is no ONNX model, or none that can be trusted.
        EvidenceError: The runtime that has to be asked is not installed.
    """
    from stages.check.examine import check_files
    from targets.errors import ModelError

    (found,) = check_files([path], profile, timeout_s=timeout_s)
    if isinstance(found, ModelError):
        raise found
    return found
