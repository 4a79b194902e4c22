"""The form that every benchmark has: a table for people, and one JSON document as the last line of stdout."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from targets.host import describe_host


def show(
    name: str,
    rows: Sequence[Mapping[str, Any]],
    ratios: Mapping[str, float | None],
    missing: Mapping[str, str],
) -> None:
    """Print the rows as a table, then everything as one line of JSON.

    Args:
        name: Of the benchmark.
        rows: What was measured.
        ratios: The figures that are quoted; None where one could not be measured.
        missing: Why, for each None.
    """
    assert {key for key, value in ratios.items() if value is None} == missing.keys()
    for row in rows:
        print("  ".join(f"{key} {_said(value)}" for key, value in row.items()))
    for key, value in ratios.items():
        print(f"{key:<36} {_said(value) if value is not None else missing[key]}")
    document = {
        "benchmark": name,
        "date": datetime.now(timezone.utc).date().isoformat(),
        "machine": {key: str(value) for key, value in asdict(describe_host()).items()},
        "rows": list(rows),
        "ratios": dict(ratios),
        "missing": dict(missing),
    }
    print(json.dumps(document))


def _said(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
