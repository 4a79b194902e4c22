"""What a board said, for the report: itself, its state, and how each engine was built and timed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.figures import Figure
from targets.board.state import BoardState
from targets.latency import Timing
from targets.receipt import EngineReceipt, Receipt


@dataclass(frozen=True, kw_only=True)
class DriveFigures:
    """Latency of an engine driven in one way.

    Attributes:
        mode: In words, as `device time, CUDA graph`.
        batch: Pictures in a call.
        img_s: Pictures a second.
        p50: In milliseconds, as `p90` and `p99`.
        cov: Standard deviation by mean.
        n: Calls.
        steady: Calls took a steady time before they were timed.
    """

    mode: str
    batch: int
    img_s: Figure
    p50: Figure
    p90: Figure
    p99: Figure
    cov: Figure
    n: int
    steady: bool


@dataclass(frozen=True, kw_only=True)
class EngineFigures:
    """One engine on its board.

    Attributes:
        build_s: Of each try.
        tries_p50_ms: Of each try's engine, where there were several.
        command: The equivalent `trtexec` command line.
        layers: By precision.
        fell_out: Layers that are INT8 in the graph and not in the engine.
        reformats: Layers that only change format or type.
        drives: Latencies, by mode.
        idle_w: Power before, in watts, as `loaded_w` during.
        energy_mj: Per inference, in millijoules.
        startup_s: From a fresh process to the first answer.
        failed: Why there is no engine.
    """

    id: str
    build_s: tuple[Figure, ...] = ()
    tries_p50_ms: tuple[Figure, ...] = ()
    command: str = ""
    layers: Mapping[str, int] = field(default_factory=dict)
    fell_out: tuple[str, ...] = ()
    reformats: int = 0
    warnings: tuple[str, ...] = ()
    drives: tuple[DriveFigures, ...] = ()
    idle_w: Figure = math.nan
    loaded_w: Figure = math.nan
    energy_mj: Figure = math.nan
    startup_s: Figure = math.nan
    failed: str = ""


@dataclass(frozen=True, kw_only=True)
class Board:
    """A board and what it did.

    Attributes:
        simulated: A stand-in did it.
        facts: About the board and its state, in the order to show them.
        doubts: Why its latencies prove nothing.
        engines: In the order of the kit.
    """

    simulated: bool
    facts: Mapping[str, str]
    doubts: tuple[str, ...]
    engines: tuple[EngineFigures, ...]


def board_of(receipt: Receipt) -> Board:
    """Give what a receipt says, for the report."""
    return Board(
        simulated=receipt.simulated,
        facts=dict(_facts(receipt)),
        doubts=doubts_of(receipt),
        engines=tuple(map(_engine, receipt.engines)),
    )


def doubts_of(receipt: Receipt) -> tuple[str, ...]:
    """Give why the latencies prove nothing, each with the command to run on the board."""
    return tuple(
        f"{one.reason}; run on the board: {one.command}" if one.command else one.reason
        for one in receipt.doubts
    )


def _facts(receipt: Receipt) -> list[tuple[str, str]]:
    identity, before, after = receipt.identity, receipt.before, receipt.after
    facts = [
        ("board", identity.model),
        ("module", " ".join(part for part in (identity.module, identity.module_id) if part)),
        ("Jetson Linux", identity.l4t),
        ("JetPack", identity.jetpack),
        ("runtime", receipt.runtime_version),
        *((name, text) for name, text in sorted(receipt.facts.items())),
        ("Python", identity.python),
        ("power mode", before.power_mode),
        *_clocks(before, after),
        ("temperature", _hottest(before, after)),
        ("throttling", ", ".join((*before.throttling, *after.throttling))),
        ("measured", receipt.measured_at),
        ("kit", receipt.kit[:12]),
    ]
    return [(name, text) for name, text in facts if text]


def _clocks(before: BoardState, after: BoardState) -> list[tuple[str, str]]:
    """Give the clocks that decide about latency."""
    found = []
    for name in ("gpu", "emc"):
        if name in before.clocks and name in after.clocks:
            first, last = before.clocks[name], after.clocks[name]
            text = f"{first.current / 1e6:.0f} MHz before, {last.current / 1e6:.0f} after"
            found.append((f"{name} clock", f"{text}, of {last.maximum / 1e6:.0f}"))
    return found


def _hottest(before: BoardState, after: BoardState) -> str:
    if not before.temperatures_c or not after.temperatures_c:
        return ""
    return (
        f"{max(before.temperatures_c.values()):.0f} °C before, {max(after.temperatures_c.values()):.0f} after"
    )


def _engine(one: EngineReceipt) -> EngineFigures:
    if one.build is None:
        return EngineFigures(id=one.id, failed=one.failed)
    return EngineFigures(
        id=one.id,
        build_s=one.build.seconds,
        tries_p50_ms=one.build.p50_ms,
        command=one.build.command,
        layers=one.build.layers,
        fell_out=one.build.fell_out,
        reformats=one.build.reformats,
        warnings=one.build.warnings,
        drives=tuple(map(_drive, one.timings)),
        idle_w=one.power.idle_w if one.power else math.nan,
        loaded_w=one.power.loaded_w if one.power else math.nan,
        energy_mj=_figure(one.power.energy_mj) if one.power else math.nan,
        startup_s=_figure(one.startup_s),
        failed=one.failed,
    )


def _drive(one: Timing) -> DriveFigures:
    kind = {
        "call": "one call after another",
        "device": "device time",
        "throughput": f"{one.streams} streams at once",
    }
    parts = (
        kind[one.mode],
        "copies included" if one.copies else "no copies",
        "CUDA graph" if one.graph else "no graph",
    )
    latency = one.latency
    return DriveFigures(
        mode=", ".join(parts),
        batch=one.batch,
        img_s=one.img_s,
        p50=latency.p50,
        p90=latency.p90,
        p99=latency.p99,
        cov=latency.cov,
        n=latency.n,
        steady=one.steady,
    )


def _figure(value: float | None) -> float:
    return math.nan if value is None else value
