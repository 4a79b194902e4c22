"""`pipeline check`: what targets have against a model, as table and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from stages.check import Finding, Placement, check_for_all
from stages.export import Export, ExportInputs
from stages.stage import no_progress
from targets.errors import EvidenceError
from targets.profile import TargetProfile

if TYPE_CHECKING:
    from stages.check.fix import Step

Mark = Literal["error", "warning", ""]


@dataclass(frozen=True)
class Inspected:
    """What one target has against a model.

    Attributes:
        findings: Errors first.
        dla: What its DLA would run; None where it has none.
        confirmed_by: Version of the TensorRT whose own parser was asked too; "" where none was.
    """

    findings: tuple[Finding, ...]
    dla: Placement | None = None
    confirmed_by: str = ""

    @property
    def unsupported(self) -> bool:
        """The target cannot run it."""
        return any(one.severity == "error" for one in self.findings)


@dataclass(frozen=True)
class Row:
    """One line of the table for several targets.

    Attributes:
        finding: That it is about; of several nodes of one operator the first.
        count: How many nodes have it.
        marks: How bad it is, by target; "" where the target has nothing against it.
        reasons: Why, each said once, in the order of the targets.
    """

    finding: Finding
    count: int
    marks: Mapping[str, Mark]
    reasons: tuple[str, ...]


def inspect(model: Path, profiles: Mapping[str, TargetProfile]) -> dict[str, Inspected]:
    """Check every operator of the ONNX file `model` against targets, by the names that they were asked for.

    Raises:
        ModelError: It is no ONNX file, or one that may not be opened safely.
        EvidenceError: A runtime that has to be asked is not installed.
    """
    answers = check_for_all(model, [*profiles.values()])
    return {
        name: Inspected(answer.findings, answer.dla, answer.confirmed_by)
        for name, answer in zip(profiles, answers, strict=True)
    }


def as_onnx(model: Path, folder: Path) -> Path:
    """Give `model`, or what it is exported to in `folder` if it is a checkpoint or a model description.

    Raises:
        ModelError: The checkpoint cannot be read, or is no detector.
        UsageError: The description is wrong.
        ExportError: It cannot be expressed in ONNX.
        EvidenceError: What training and export need is not installed.
    """
    if model.suffix not in {".pt", ".yaml", ".yml"}:
        return model
    try:
        from stages.train.named import save_named
    except ImportError as exc:
        raise EvidenceError(
            f"{model} has to be exported first, which needs {exc.name}.",
            hint="pip install 'edgebound[train]'",
        ) from exc
    checkpoint = save_named(model, folder / "checkpoint")
    return Export().run(ExportInputs(checkpoint=checkpoint), folder, no_progress).onnx / "model.onnx"


def fix_model(model: Path, profiles: Mapping[str, TargetProfile], out: Path) -> tuple[Step, ...]:
    """Write a model with those safe rewrites that the targets may need to `out`; nothing if there are none.

    Raises:
        ModelError: `model` is no ONNX file, or `out` cannot be written.
    """
    from stages.check.fix import fix_file

    return fix_file(model, [*profiles.values()], out)


def rows_of(found: Mapping[str, Inspected]) -> Iterator[Row]:
    """Give one row for each operator, or value, that some target has something against."""
    groups: dict[tuple[str, str], dict[str, list[Finding]]] = {}
    for target, inspected in found.items():
        for one in inspected.findings:
            by_target = groups.setdefault((one.op, "" if one.op else one.node), {})
            by_target.setdefault(target, []).append(one)
    for by_target in groups.values():
        every = [one for findings in by_target.values() for one in findings]
        yield Row(
            finding=every[0],
            count=len({one.node for one in every}),
            marks={target: _worst(by_target.get(target, [])) for target in found},
            reasons=tuple(dict.fromkeys(one.reason for one in every)),
        )


def _worst(findings: list[Finding]) -> Mark:
    severities = {one.severity for one in findings}
    return "error" if "error" in severities else "warning" if severities else ""


def to_json(model: Path, found: Mapping[str, Inspected], *, fixed: object = None) -> str:
    """Give all findings as one JSON document."""
    targets = {
        name: {
            "verdict": "unsupported" if one.unsupported else "pass",
            "findings": [asdict(finding) for finding in one.findings],
            "confirmed_by": one.confirmed_by,
            "dla": None if one.dla is None else asdict(one.dla),
        }
        for name, one in found.items()
    }
    return json.dumps({"schema": 1, "model": str(model), "targets": targets, "fixed": fixed})
