"""The figures that are quoted from `benchmarks.precision`: pure functions of what was measured.

Each figure is a number, or the reason why there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from benchmarks.precision_calibration import DISTRIBUTIONS, MINMAX, Cost
from benchmarks.precision_measure import FP32, OURS, Figures

Figure = float | str

DEMO_SETS = ("demo8", "demo11")
REAL_SETS = ("bccd", "bsdata")
TIMED_SET = "bccd"  # yolov8n at imgsz 320


def sum_up(
    figures: Sequence[Figures], costs: Sequence[Cost]
) -> tuple[dict[str, float | None], dict[str, str]]:
    """Give the ratios, and for each that is None the reason."""
    found: dict[str, Figure] = {
        "drift_vs_best_peer": _over(DEMO_SETS, figures, drift_vs_best_peer, worst=max),
        **{
            f"drift_vs_best_peer_{name}": _over((name,), figures, drift_vs_best_peer, worst=max)
            for name in (*DEMO_SETS, *REAL_SETS)
        },
        "our_drift_pt": _over(DEMO_SETS, figures, _our_drift_pt, worst=max),
        "agreement_vs_best_peer": _over(REAL_SETS, figures, _agreement_vs_best_peer, worst=min),
        "sqnr_vs_best_peer_db": _over(REAL_SETS, figures, _sqnr_vs_best_peer_db, worst=min),
        "latency_vs_fastest_peer": _over((TIMED_SET,), figures, _latency_vs_fastest_peer, worst=max),
        "int8_speedup": _over((TIMED_SET,), figures, _int8_speedup, worst=min),
        **compare_costs(costs),
    }
    ratios = {key: None if isinstance(value, str) else value for key, value in found.items()}
    return ratios, {key: value for key, value in found.items() if isinstance(value, str)}


def drift_vs_best_peer(rows: Sequence[Figures]) -> Figure:
    """Give our drift over the least of a peer's, on one set."""
    best = min(_peers(rows), key=lambda row: row.drift_pt)
    if best.drift_pt <= 0:
        return f"on {best.set} {best.method} loses nothing ({best.drift_pt:+.3f} pt), so there is no ratio"
    return _row(rows, OURS).drift_pt / best.drift_pt


def compare_costs(costs: Sequence[Cost]) -> dict[str, Figure]:
    """Compare our calibration with the best of onnxruntime's: the fastest, and the smallest.

    Ours keeps distributions, so that a range can be found by any method; so do onnxruntime's entropy and
    percentile calibrators. Its min-max keeps two numbers a tensor, and stands apart.
    """
    ours = next((cost for cost in costs if cost.side == OURS), None)
    found: dict[str, Figure] = {}
    for end, sides in (("", DISTRIBUTIONS), ("_vs_minmax", (MINMAX,))):
        theirs = [cost for cost in costs if cost.side in sides]
        if ours is None or not theirs:
            keys = (f"calibration_speedup{end}", f"calibration_memory_ratio{end}")
            found |= dict.fromkeys(keys, "nothing was calibrated")
            continue
        found[f"calibration_speedup{end}"] = min(cost.seconds for cost in theirs) / ours.seconds
        found[f"calibration_memory_ratio{end}"] = ours.peak_mib / min(cost.peak_mib for cost in theirs)
    return found


def _over(
    names: Iterable[str],
    figures: Sequence[Figures],
    judge: Callable[[Sequence[Figures]], Figure],
    *,
    worst: Callable[[list[float]], float],
) -> Figure:
    """Give the worst of a figure over those of the sets that were run."""
    wanted = tuple(names)
    run = [[row for row in figures if row.set == name] for name in wanted]
    values = [judge(rows) for rows in run if rows]
    if not values:
        return (
            f"{' and '.join(wanted)} was not run"
            if len(wanted) == 1
            else f"{' and '.join(wanted)} were not run"
        )
    reasons = [value for value in values if isinstance(value, str)]
    return reasons[0] if reasons else worst([value for value in values if not isinstance(value, str)])


def _our_drift_pt(rows: Sequence[Figures]) -> Figure:
    return _row(rows, OURS).drift_pt


def _agreement_vs_best_peer(rows: Sequence[Figures]) -> Figure:
    best = max(row.agreement or 0.0 for row in _peers(rows))
    if best <= 0:
        return f"on {rows[0].set} no peer agrees with FP32 on anything"
    return (_row(rows, OURS).agreement or 0.0) / best


def _sqnr_vs_best_peer_db(rows: Sequence[Figures]) -> Figure:
    ours, theirs = _row(rows, OURS).sqnr_db, [row.sqnr_db for row in _peers(rows)]
    known = [value for value in theirs if value is not None]
    if ours is None or not known:
        return f"on {rows[0].set} outputs were not compared"
    return ours - max(known)


def _latency_vs_fastest_peer(rows: Sequence[Figures]) -> Figure:
    return _row(rows, OURS).p50_ms / min(row.p50_ms for row in _peers(rows))


def _int8_speedup(rows: Sequence[Figures]) -> Figure:
    return _row(rows, FP32).p50_ms / _row(rows, OURS).p50_ms


def _peers(rows: Sequence[Figures]) -> list[Figures]:
    return [row for row in rows if row.method not in {FP32, OURS}]


def _row(rows: Sequence[Figures], method: str) -> Figures:
    return next(row for row in rows if row.method == method)
