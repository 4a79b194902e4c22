"""What the board said: itself and its state, how its engines were built, and how they were timed."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pipeline.board import Board, EngineFigures
from pipeline.ladder import TargetResult
from pipeline.report.markup import Markup, Node, render, tag
from pipeline.report.parts import block, details, facts_list, listed
from pipeline.report.tables import head, number, table
from pipeline.report.words import figure


def board_block(target: TargetResult) -> Markup | None:
    """Show the board that built and measured, and whether its word counts."""
    board = target.board
    if board is None:
        return None
    note = "Built, measured and run on the device itself; its receipt is kept in the store."
    if board.simulated:
        note = (
            "A stand-in for the runtime did this, not the device: latencies and INT8 kernels prove nothing."
        )
    doubts = render(
        (tag("p", "Its latencies prove nothing:", class_="unsure"), listed(board.doubts))
        if board.doubts
        else ()
    )
    return block(
        "On the board",
        note,
        render((doubts, _facts(board), _engines_table(board), _drives(board), _builds(board))),
    )


def _facts(board: Board) -> Markup:
    return details("Board and state", facts_list(board.facts)) or render(())


def _engines_table(board: Board) -> Markup:
    heads = head(
        "engine", "build, s#", "layers", "fell out of INT8#", "reformats#", "start-up, s#", "power, W#",
        "energy, mJ#",
    )  # fmt: skip
    return table("Engines", heads, map(_engine, board.engines))


def _engine(one: EngineFigures) -> Markup:
    if one.failed:
        return tag("tr", tag("th", one.id, scope="row"), tag("td", one.failed, colspan=7))
    tries = f"{len(one.build_s)} tries, p50 {_range(one.tries_p50_ms)} ms" if one.tries_p50_ms else None
    layers = ", ".join(f"{count} {name}" for name, count in sorted(one.layers.items()))
    cells: tuple[Node, ...] = (
        tag("th", one.id, scope="row"),
        number(sum(one.build_s), 1, tag("small", tries) if tries else None),
        tag("td", layers),
        number(len(one.fell_out), 0),
        number(one.reformats, 0),
        number(one.startup_s),
        number(one.loaded_w, 1, tag("small", _idle(one)) if math.isfinite(one.idle_w) else None),
        number(one.energy_mj, 1),
    )
    return tag("tr", cells)


def _idle(one: EngineFigures) -> str:
    return f"idle {figure(one.idle_w, 1)}"


def _range(figures: tuple[float, ...]) -> str:
    return f"{figure(min(figures))} to {figure(max(figures))}"


def _drives(board: Board) -> Markup | None:
    heads = head("engine", "driven", "batch#", "p50, ms#", "p90#", "p99#", "CoV, %#", "pictures/s#", "calls#")
    rows = [_drive_cells(one) for one in board.engines]
    return details("Latency by mode", table("Latency by mode", heads, rows)) if any(rows) else None


def _drive_cells(one: EngineFigures) -> list[Markup]:
    return [
        tag(
            "tr",
            tag("th", one.id, scope="row"),
            tag("td", drive.mode, None if drive.steady else tag("small", "never steady", class_="unsure")),
            number(drive.batch, 0),
            *map(number, (drive.p50, drive.p90, drive.p99)),
            number(drive.cov * 100, 1),
            number(drive.img_s, 0),
            number(drive.n, 0),
        )
        for drive in one.drives
    ]


def _builds(board: Board) -> Markup | None:
    parts = [part for one in board.engines for part in _build(one)]
    return details("How they were built", render(parts)) if parts else None


def _build(one: EngineFigures) -> Iterator[Markup]:
    if one.command:
        yield tag("p", f"{one.id}, as trtexec would build and time it:")
        yield tag("pre", one.command)
    if one.fell_out:
        yield tag("p", f"{one.id}: INT8 in the graph and not in the engine:")
        yield listed(one.fell_out) or render(())
    if one.warnings:
        yield tag("p", f"{one.id}, the builder warned:")
        yield listed(one.warnings) or render(())
