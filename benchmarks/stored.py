"""What a run of the command line left in its store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.store import Store
from stages.artifact import Artifact


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
