"""One target on the page: what ships and why, where accuracy was lost, and all that was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.ladder import LatencyFigures, Rung, RunReport, TargetResult
from pipeline.report.beyond_map import beyond_map_table, parity_table
from pipeline.report.board import board_block
from pipeline.report.curves import form_curves
from pipeline.report.gallery import Gallery
from pipeline.report.int8 import placement_details, search_block
from pipeline.report.latency import latency_chart
from pipeline.report.markup import Markup, render, tag
from pipeline.report.parts import FIRST, block, details, key_figures, listed, sheet
from pipeline.report.tables import checks_table, chip, class_table, digests_table, ladder_table
from pipeline.report.waterfall import drift_chart
from pipeline.report.words import NONE, figure, interval, moment, shipped, size


def target_sheet(name: str, target: TargetResult, report: RunReport, gallery: Gallery) -> Markup:
    """Show one target."""
    return sheet(
        name,
        _key_figures(target),
        _why(target, all_said=len(report.targets) == 1 and len(target.reasons) <= FIRST),
        _forms(target),
        _engines(target),
        block(
            "Pictures that changed most",
            "The baseline left, the engine right, at the deployed confidence.",
            gallery.pictures(target),
        ),
        placement_details(target),
        details("Tensors, form by form", parity_table(target)),
        details("Everything the gate asked", checks_table(target)),
        details("Digests", digests_table(target)),
        beside=(chip(target.verdict), tag("p", _device(target.profile))),
        kind="target",
    )


def _forms(target: TargetResult) -> Markup:
    """Show what became of the model on the way, form by form."""
    return render(
        (
            block(
                "What was lost on the way",
                "Loss of mAP50-95 in points: a bar for what a step lost, at its end the 95 % interval. A "
                "form passes if the whole interval stays left of its limit; hatched is beyond.",
                drift_chart(target),
            ),
            block("Ladder", "Every form of the model, each made from one above it.", ladder_table(target)),
            search_block(target),
        )
    )


def _engines(target: TargetResult) -> Markup:
    """Show how fast the engines are, and what they find."""
    return render(
        (
            block(
                "Latency",
                f"{_where(target)} One picture at a time, candidates in turn. Lines mark p50, p90 and p99.",
                latency_chart(target),
            ),
            board_block(target),
            block(
                "What mAP does not show",
                "Losses in points, with 95 % intervals, against the baseline on the same pictures.",
                beyond_map_table(target),
            ),
            block(
                "Curves",
                "At IoU 0.5, means over the classes. Lines that lie on each other are forms that agree.",
                form_curves(target),
            ),
            block(
                "AP by class",
                "A class that gets lost hides in the mean. Click a heading to sort.",
                class_table(target),
            ),
        )
    )


def _why(target: TargetResult, *, all_said: bool) -> Markup | None:
    if target.verdict == "pass":  # the first reason says what ships, which is said above
        return block("Why not the others", "", listed([*target.reasons[1:], *target.notes]))
    return block("Why", "", listed([*(() if all_said else target.reasons), *target.notes]))


def _device(profile: Mapping[str, Any]) -> str:
    runtime = f"{profile.get('runtime', '')} {profile.get('runtime_version', '')}".strip()
    return ", ".join(part for part in (str(profile.get("device", "")), runtime) if part)


def _where(target: TargetResult) -> str:
    timed = next((rung for rung in target.ladder if rung.latency_ms), None)
    if timed is None:
        return ""
    return f"On host {timed.host or 'unknown'}, {moment(timed.measured_at or '') or 'at an unknown time'}."


def _key_figures(target: TargetResult) -> Markup | None:
    ships = shipped(target)
    if ships is None:
        return None
    rivals = [rung for rung in target.ladder if rung.candidate and rung.id != ships.id and rung.latency_ms]
    spread = interval(ships.drift_ci_pt)
    entries = (
        ("ships", ships.label, ""),
        ("drift", f"{figure(ships.drift_pt)} pt", f"95 %: {spread}" if spread else ""),
        ("mAP50-95", figure(ships.map50_95, 3), f"baseline {figure(target.ladder[0].map50_95, 3)}"),
        ("latency p50", _ms(ships.latency_ms), _speedup(ships, rivals)),
        ("size", size(ships.size_bytes), f"baseline {size(target.ladder[0].size_bytes)}"),
    )
    return render((key_figures(entries), tag("p", "Engine: ", tag("code", target.engine), class_="engine")))


def _ms(latency: LatencyFigures | None) -> str:
    return f"{figure(latency.p50)} ms" if latency else NONE


def _speedup(ships: Rung, rivals: Sequence[Rung]) -> str:
    times = [(rung.latency_ms.p50, rung.label) for rung in rivals if rung.latency_ms]
    times = [(p50, label) for p50, label in times if math.isfinite(p50)]
    if not times or not ships.latency_ms:
        return ""
    p50, label = min(times)
    return f"{figure(p50 / ships.latency_ms.p50)}× as fast as {label}"
