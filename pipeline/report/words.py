"""How verdicts and figures are said, the same on every page we write."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from pipeline.ladder import Interval, Rung, TargetResult, Verdict

SYMBOLS: Mapping[Verdict, str] = {
    "pass": "✓", "refuse": "✕", "inconclusive": "?", "unsupported": "⊘", "error": "!"
}  # fmt: skip
WORDS: Mapping[Verdict, str] = {
    "pass": "pass", "refuse": "refused", "inconclusive": "inconclusive", "unsupported": "unsupported",
    "error": "failed",
}  # fmt: skip
HEADLINES: Mapping[Verdict, str] = {
    "pass": "Ready to release",
    "refuse": "Refused",
    "inconclusive": "Inconclusive: evidence is missing",
    "unsupported": "The target cannot run this model",
    "error": "The run failed",
}
NONE = "–"
NOT_JUDGED = "not judged"
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0 §2.2


def printable(text: str) -> str:
    """Replace what neither XML nor a terminal can carry."""
    return _UNPRINTABLE.sub("\ufffd", text)


def figure(value: float, digits: int = 2) -> str:
    """Say a figure; a dash where nobody measured it. Nothing is not negative."""
    return f"{round(value, digits) + 0.0:.{digits}f}" if math.isfinite(value) else NONE


def interval(ends: Interval) -> str:
    """Say a 95 % interval of points, or nothing where there is none."""
    return f"{figure(ends[0])} to {figure(ends[1])}" if all(map(math.isfinite, ends)) else ""


def size(size_bytes: int) -> str:
    """Say a size in decimal megabytes."""
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes else NONE


def duration(seconds: float) -> str:
    """Say how long something took."""
    if not math.isfinite(seconds):
        return NONE
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02} min"


def moment(at: str) -> str:
    """Say an ISO 8601 date in UTC, as `2026-05-04 09:30 UTC`."""
    return f"{at[:10]} {at[11:16]} UTC" if at else ""


def shipped(target: TargetResult) -> Rung | None:
    """Give the rung that ships."""
    return next((rung for rung in target.ladder if rung.id == target.ships), None)


def ships_sentence(rung: Rung) -> str:
    """Say in one line what ships and what it costs."""
    parts = [f"{rung.label} ships"]
    if rung.latency_ms:
        parts.append(f"p50 {figure(rung.latency_ms.p50)} ms")
    parts.append(size(rung.size_bytes))
    spread = interval(rung.drift_ci_pt)
    parts.append(f"drift {figure(rung.drift_pt)} pt" + (f" (95 % interval {spread})" if spread else ""))
    return ", ".join(parts)
