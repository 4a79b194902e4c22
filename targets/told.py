"""Told: a pull and a verification in words, and as JSON can hold them; for `pipeline` and for the agent."""

from dataclasses import asdict
from typing import Dict, Sequence

from targets.prove import Check, worst
from targets.release.facts import ReleaseFacts
from targets.release.pull import Pulled

_MARKS = {"pass": "✓", "refuse": "✗", "inconclusive": "?", "error": "✗"}


def name(facts: ReleaseFacts) -> str:
    """Say which engine it is."""
    return (
        f"{facts.name}, {facts.channel} {facts.sequence}: {facts.target}, {facts.precision},"
        f" {facts.runtime} {facts.runtime_version}"
    )


def describe(pulled: Pulled) -> str:
    """Say what is in place now, for people."""
    facts = pulled.facts
    figures = [
        f"p50 {facts.p50_ms:.2f} ms" if facts.p50_ms is not None else "",
        f"mAP50-95 {facts.map50_95:.3f}" if facts.map50_95 is not None else "",
        f"drift {facts.drift_pt:.2f} pt" if facts.drift_pt is not None else "",
    ]
    lines = [
        f"{name(facts)}{'' if pulled.changed else ' (was current already)'}",
        f"  released {facts.created}, signed by key {pulled.signer[:16]}…",
        f"  measured by the run: {', '.join(one for one in figures if one) or 'nothing'}",
        *(f"  overruled: {one.rule} ({one.why})" for one in facts.overrides),
        f"  in {pulled.folder}",
    ]
    return "\n".join(lines)


def summarize(pulled: Pulled) -> Dict[str, object]:
    """Say what is in place now, for programs."""
    return {
        "schema": 1,
        "folder": str(pulled.folder),
        "digest": pulled.digest,
        "signer": pulled.signer,
        "before": pulled.before,
        "changed": pulled.changed,
        "facts": asdict(pulled.facts),
    }


def describe_check(check: Check) -> str:
    """Say what a check found, for people."""
    hint = f"\n  {check.hint}" if check.hint else ""
    return f"{_MARKS[check.verdict]} {check.name}: {check.said}{hint}"


def summarize_checks(checks: Sequence[Check]) -> Dict[str, object]:
    """Say what all checks found, for programs."""
    return {"schema": 1, "verdict": worst(checks), "checks": [asdict(check) for check in checks]}
