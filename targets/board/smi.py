"""GPUs of a host, as nvidia-smi describes them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Optional, Tuple

from targets.board.tree import ask

# `nvidia-smi --help-query-gpu`; newer drivers call the last one clocks_event_reasons, and take both names.
_FIELDS = (
    "clocks.gr",
    "clocks.max.gr",
    "temperature.gpu",
    "utilization.gpu",
    "clocks_throttle_reasons.active",
)
_REASONS = {  # nvml.h, nvmlClocksThrottleReason…; idle and clocks that somebody set are none
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "heat (driver)",
    0x40: "heat (hardware)",
    0x80: "power brake",
}
_MHZ = 1_000_000


@dataclass(frozen=True)
class Card:
    """The first GPU of nvidia-smi; on a Jetson most figures are None.

    Attributes:
        current_hz: Clock of the shaders.
        maximum_hz: That it can have.
        temperature_c: In degrees Celsius.
        load_percent: Of the last second or so.
        throttling: Reasons for slowing down.
    """

    current_hz: Optional[int]
    maximum_hz: Optional[int]
    temperature_c: Optional[float]
    load_percent: Optional[float]
    throttling: Tuple[str, ...]


def read_card(root: Path) -> Optional[Card]:
    """Ask nvidia-smi for the first GPU, which CUDA uses unless told otherwise; None without it."""
    text = ask(root, "nvidia-smi", [f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits"])
    return parse_card(text)


def parse_card(text: str) -> Optional[Card]:
    """Read the first line that nvidia-smi prints; None if it is not what was asked for."""
    cells = [cell.strip() for cell in (text.splitlines() or [""])[0].split(",")]
    if len(cells) != len(_FIELDS):
        return None
    figures: Dict[str, Optional[int]] = dict(zip(_FIELDS, map(_whole, cells)))
    current, maximum = figures["clocks.gr"], figures["clocks.max.gr"]
    return Card(
        current_hz=None if current is None else current * _MHZ,
        maximum_hz=None if maximum is None else maximum * _MHZ,
        temperature_c=figures["temperature.gpu"],
        load_percent=figures["utilization.gpu"],
        throttling=_read_reasons(cells[-1]),
    )


def _read_reasons(cell: str) -> Tuple[str, ...]:
    try:
        mask = int(cell, 16)
    except ValueError:  # [N/A]
        return ()
    return tuple(f"GPU: {reason}" for bit, reason in _REASONS.items() if mask & bit)


def _whole(cell: str) -> Optional[int]:
    return int(cell) if cell.isascii() and cell.isdigit() and len(cell) < 10 else None
