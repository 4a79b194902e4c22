"""Runs of the command line, and what they left in their stores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.store import Store
from stages.artifact import Artifact

ROOT = Path(__file__).resolve().parent.parent
_JUDGED = {0, 3, 4}  # exit codes of a run that came to its end


def run_pipeline(folder: Path, *arguments: str) -> dict[str, Any]:
    """Run `pipeline run` in a folder, and give its report.

    Raises:
        SystemExit: It failed; what it said is on stderr.
    """
    command = ["pipeline", "run", "--target", "cpu", "--json", *arguments]
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    if done.returncode not in _JUDGED:
        sys.exit(f"{' '.join(command)} in {folder} ended with {done.returncode}")
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def artifacts_of(report: dict[str, Any], folder: Path) -> Callable[[str, str], Artifact]:
    """Give a function that finds an artifact by the label of its step and its field in the step's result.

    Args:
        report: The document that `pipeline run --json` printed.
        folder: Where it ran.
    """
    store = Store(folder / ".edgebound")
    keys = {step["label"]: step["key"] for step in report["steps"]}

    def artifact(step: str, field: str) -> Artifact:
        entry = store.find(keys[step])
        assert entry is not None
        named = entry.record["result"][field]
        return store.open(entry, named["path"], named["digest"])

    return artifact
