"""What all targets of a run share, on the page: data, provenance."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pipeline.ladder import RunReport
from pipeline.report.markup import Markup, tag
from pipeline.report.parts import block, details, facts_list, key_figures, listed, sheet
from pipeline.report.tables import counts_table, steps_table
from pipeline.report.words import duration, printable


def data_sheet(report: RunReport) -> Markup | None:
    """Show what the model was trained on and judged by."""
    summary = report.data_summary
    if summary is None:
        return None
    facts = (
        ("pictures to train", str(summary.train), ""),
        ("to validate", str(summary.val), ""),
        ("to calibrate", str(summary.calibration), "from the training pictures"),
        ("classes", str(len(summary.classes)), ""),
    )
    warnings = block("Warnings", "", listed(summary.warnings))
    counts = details("Boxes by class", counts_table(report))
    return sheet("Data", key_figures(facts), warnings, counts)


def provenance_sheet(report: RunReport) -> Markup:
    """Show where everything comes from: settings, versions, digests, machine, time."""
    seconds = sum(step.seconds for step in report.steps if not step.cached and math.isfinite(step.seconds))
    cached = sum(step.cached for step in report.steps)
    warnings = report.data_summary.warnings if report.data_summary else ()
    facts = {
        "run": report.run,
        "folder": report.run_dir,
        "data": report.data,
        "wall time": duration(report.seconds),
    }
    if report.conditions:
        held = asdict(report.conditions)
        facts["figures hold for"] = ", ".join(f"{name} {value}" for name, value in held.items())
    if report.baseline:
        facts["compared with"] = report.baseline
    if report.steps:
        work = f"{len(report.steps)}, {cached} of them cached; the others worked {duration(seconds)}"
        facts["steps"] = work
    return sheet(
        "Provenance",
        facts_list(facts),
        block("Notes", "", listed([note for note in report.notes if note not in warnings])),
        tag(
            "div",
            details("Where the time went", steps_table(report)),
            details("Machine", facts_list(report.host) if report.host else None),
            details("Versions", facts_list(report.versions) if report.versions else None),
            details("Settings", tag("pre", _yaml(report.settings)) if report.settings else None),
            class_="block",
        ),
    )


def _yaml(settings: Mapping[str, Any]) -> str:
    import yaml

    plain = json.loads(json.dumps(settings))
    return printable(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))
