"""`pipeline check`: what a target has against a model, as table, JSON and SARIF."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.files import write_atomically
from stages.check import Finding, check_file
from targets.errors import UsageError
from targets.profile import TargetProfile

_SARIF = "https://json.schemastore.org/sarif-2.1.0.json"


@dataclass(frozen=True)
class Inspected:
    """What one target has against a model."""

    findings: tuple[Finding, ...]

    @property
    def unsupported(self) -> bool:
        """The target cannot run it."""
        return any(one.severity == "error" for one in self.findings)


def inspect(model: Path, profile: TargetProfile) -> Inspected:
    """Check every operator of the ONNX file `model` against a target.

    Raises:
        ModelError: It is no ONNX file, or one that may not be opened safely.
    """
    return Inspected(tuple(check_file(model, profile)))


def to_json(model: Path, found: Mapping[str, Inspected]) -> str:
    """Give all findings as one JSON document."""
    targets = {
        name: {
            "verdict": "unsupported" if one.unsupported else "pass",
            "findings": [asdict(finding) for finding in one.findings],
        }
        for name, one in found.items()
    }
    return json.dumps({"schema": 1, "model": str(model), "targets": targets})


def write_sarif(file: Path, model: Path, found: Mapping[str, Inspected]) -> None:
    """Write all findings as SARIF 2.1.0, which code hosts show beside a pull request.

    Raises:
        UsageError: There is no such folder, or `file` is one.
    """
    driver = {"name": "edgebound", "rules": [{"id": "operator"}]}
    run = {"tool": {"driver": driver}, "results": list(_results(model, found))}
    document = {"$schema": _SARIF, "version": "2.1.0", "runs": [run]}
    try:
        write_atomically(file, json.dumps(document, indent=2).encode())
    except OSError as exc:
        raise UsageError(
            f"{file} cannot be written: {exc.strerror}.", hint="Name a file in a folder that is there."
        ) from exc


def _results(model: Path, found: Mapping[str, Inspected]) -> Iterator[dict[str, Any]]:
    for target, inspected in found.items():
        for finding in inspected.findings:
            text = f"{target}: {finding.op} ({finding.node}): {finding.reason} {finding.remedy}"
            place = {"physicalLocation": {"artifactLocation": {"uri": model.as_posix()}}}
            yield {
                "ruleId": "operator",
                "level": finding.severity,
                "message": {"text": text.strip()},
                "locations": [{**place, "logicalLocations": [{"fullyQualifiedName": finding.node}]}],
            }
