"""Check: every operator of a model against what the target's runtime can take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        module: Path of the PyTorch module behind it, as `model.22.dfl`; empty where the file does not say.
        line: Of the code that made it, as `head.py:12`; empty where the file does not say.
    """

    node: str
    op: str
    severity: Literal["error", "warning"]
    reason: str
    remedy: str
    module: str = ""
    line: str = ""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """What of a model a deep learning accelerator (DLA) would run.

    Attributes:
        on_dla: Nodes that stay there.
        on_gpu: Nodes that fall back; what the builder folds counts on neither side.
        handovers: Values that one side makes and the other reads.
        parts: Groups of nodes on DLA that hang together.
        fallen: How many nodes fell back, by operator and reason.
        reason: Why there is no DLA although the device has cores; empty if there is.
    """

    on_dla: int
    on_gpu: int
    handovers: int
    parts: int
    fallen: Mapping[str, int]
    reason: str

    def told(self) -> tuple[str, ...]:
        """Say it in sentences, the figures first."""
        if self.reason:
            return (self.reason,)
        figures = (
            f"DLA runs {self.on_dla} of {self.on_dla + self.on_gpu} nodes in at least {self.parts} parts; "
            f"{self.handovers} values change sides."
        )
        return (figures, *(f"{count} x {why}" for why, count in self.fallen.items()))


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one target has against a model.

    Attributes:
        findings: Errors first.
        dla: What its DLA would run; None where it has none.
        confirmed_by: Version of the TensorRT whose own parser was asked too; "" where tables alone answered.
    """

    findings: tuple[Finding, ...]
    dla: Placement | None = None
    confirmed_by: str = ""


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


def check_for_all(
    path: Path, profiles: Sequence[TargetProfile], *, timeout_s: float = 60.0
) -> tuple[Answer, ...]:
    """Check any ONNX file for several targets; it is read, and each runtime asked, once.

    Args:
        path: Of the file.
        profiles: Of the targets.
        timeout_s: How long a runtime may look at it.

    Returns:
        In the order of `profiles`.

    Raises:
        ModelError: It is no ONNX model, or none that can be trusted.
        EvidenceError: A runtime that has to be asked is not installed.
    """
    from stages.check.examine import examine, load_named

    return examine(load_named(path), profiles, timeout_s=timeout_s)
