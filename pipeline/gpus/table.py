"""Table: the one that people make by hand before they buy or rent a card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.gpus.predict import GIB, Placed

if TYPE_CHECKING:
    from pipeline.gpus.size_up import SizedUp

HEADINGS = ("card", "GiB", "needed", "largest batch", "fits", "batch", "img/s", "h/epoch", "h total", "USD")
_SAID = {
    "half": "mixed precision",
    "tf32": "TF32, or FP32 where a card has none",
    "fp32": "FP32",
}


def show_cards(sized: SizedUp) -> None:
    """Show a training on all cards, on stderr."""
    console = Console(stderr=True, highlight=False)
    console = console if console.is_terminal else Console(stderr=True, highlight=False, width=140)
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading in {"card", "fits"} else "right")
    for placed in sized.cards:
        table.add_row(*map(escape, row(placed)))
    console.print()
    console.print(table)
    console.print(escape(summary(sized)))


def row(placed: Placed) -> tuple[str, ...]:
    """Give one card's cells; `~` marks what is predicted."""
    mark = "~" if placed.rate == "predicted" else ""
    batch = f"{placed.batch} ×{placed.accumulate}" if placed.accumulate > 1 else str(placed.batch or "–")
    return (
        placed.card,
        f"{placed.usable_gib:g}",
        f"~{placed.needed_gib:.1f}",
        f"~{placed.largest_batch}",
        placed.fit,
        batch,
        *(_figure(one, mark) for one in (placed.rate_img_s, placed.epoch_h, placed.total_h, placed.usd)),
    )


def summary(sized: SizedUp) -> str:
    """Say what was placed, and what the table rests on."""
    footprint = sized.footprint
    kept = footprint.weights * 3 + footprint.optimizer
    return (
        f"{sized.model} at {sized.imgsz} px, {_SAID[sized.compute]}, {sized.pictures} pictures, "
        f"{sized.epochs} epochs, up to {footprint.boxes} boxes in a picture.\n"
        f"{footprint.parameters / 1e6:.1f} M parameters: weights, gradients, EMA and optimizer take "
        f"{kept / GIB:.2f} GiB, whatever the batch. ~ is predicted; rates leave out loading pictures, and "
        f"'batch 8 ×8' takes 8 steps to one of the optimizer.{_measured(sized)}"
    )


def _measured(sized: SizedUp) -> str:
    names = [one.card for one in sized.cards if one.rate == "measured"]
    return (
        f"\nOf {', '.join(names)} the rate is that of the probe of an earlier training here." if names else ""
    )


def _figure(value: float | None, mark: str) -> str:
    """Give two digits or all before the point: no prediction is worth more."""
    if value is None:
        return "–"
    return f"{mark}{value:.0f}" if value >= 10 else f"{mark}{value:.2g}"
