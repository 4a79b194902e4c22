"""SARIF 2.1.0: findings of `pipeline check` as code hosts show them beside a pull request."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeline.files import write_atomically
from pipeline.inspect import Inspected
from stages.check import Finding
from targets.errors import UsageError

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_RULES = {
    "operator": "The target's runtime takes the operator, its attributes and its data types.",
    "model": "The target's runtime takes the model's operator set, inputs and outputs.",
    "dla": "What of the model the deep learning accelerator runs.",
}


def write_sarif(file: Path, model: Path, found: Mapping[str, Inspected]) -> None:
    """Write all findings as SARIF 2.1.0.

    Args:
        file: To be written.
        model: That was checked.
        found: By target.

    Raises:
        UsageError: There is no such folder, or `file` is one.
    """
    rules = [{"id": one, "shortDescription": {"text": text}} for one, text in _RULES.items()]
    driver = {"name": "edgebound", "rules": rules}
    run = {"tool": {"driver": driver}, "results": list(_results(model, found))}
    document = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    try:
        write_atomically(file, json.dumps(document, indent=2).encode())
    except OSError as exc:
        raise UsageError(
            f"{file} cannot be written: {exc.strerror}.", hint="Name a file in a folder that is there."
        ) from exc


def _results(model: Path, found: Mapping[str, Inspected]) -> Iterator[dict[str, Any]]:
    for target, inspected in found.items():
        for finding in inspected.findings:
            named = f"{finding.op} ({finding.node}): " if finding.op else ""
            yield {
                "ruleId": "operator" if finding.op else "model",
                "level": finding.severity,
                "message": {"text": f"{target}: {named}{finding.reason} {finding.remedy}".strip()},
                "locations": [_location(model, finding)],
            }
        if inspected.dla is not None:
            told = " ".join(inspected.dla.told())
            yield {
                "ruleId": "dla",
                "level": "note",
                "message": {"text": f"{target}: {told}"},
                "locations": [_place(model)],
            }


def _place(model: Path) -> dict[str, Any]:
    return {"physicalLocation": {"artifactLocation": {"uri": quote(model.as_posix())}}}


def _location(model: Path, finding: Finding) -> dict[str, Any]:
    names = [("resource", finding.node), ("module", finding.module)]
    logical = [{"fullyQualifiedName": name, "kind": kind} for kind, name in names if name]
    return {**_place(model), **({"logicalLocations": logical} if logical else {})}
