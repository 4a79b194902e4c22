"""Runs: folders under `.edgebound/runs`, found by id, by path, or as the last one."""

from __future__ import annotations

from pathlib import Path

from targets.errors import UsageError


def find_run(root: Path, name: str | None) -> Path:
    """Find the folder of a run.

    Args:
        root: Folder of the project.
        name: Run id, its folder, or its report.json; None: the last run.

    Raises:
        UsageError: There is none.
    """
    runs = root / ".edgebound" / "runs"
    if name is None:
        reports = sorted(runs.glob("*/report.json"), key=lambda path: path.parent.name)
        if reports:
            return reports[-1].parent
        raise UsageError(f"There is no run in {runs}.", hint="`pipeline run` makes one.")
    for report in (runs / name / "report.json", Path(name) / "report.json", Path(name)):
        if report.name == "report.json" and report.is_file():
            return report.parent
    raise UsageError(f"There is no run '{name}'.", hint=f"Runs are in {runs}.")
