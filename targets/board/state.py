"""The state of a board: power mode, clocks, temperatures, throttling; and what speaks against a latency."""

import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Dict, Iterator, Mapping, Optional, Tuple

from targets.board.clocks import Clock, read_clocks
from targets.board.identity import is_jetson
from targets.board.nvpmodel import fastest_of, find_modes, read_power_mode, same_mode
from targets.board.smi import Card, read_card
from targets.board.thermal import (
    read_fan_percent,
    read_limits,
    read_temperatures,
    read_throttle_events,
    read_throttling,
)
from targets.board.tree import list_folders, read_int, read_text

_LOADS = ("class/devfreq/*/device/load", "devices/platform/gpu.0/load", "devices/gpu.0/load")
_DESKTOPS = ("Xorg", "Xwayland", "gnome-shell", "weston", "kwin_wayland", "sway", "lxqt-session")
_AVAILABLE = re.compile(r"^MemAvailable:\s+(\d{1,15}) kB", re.MULTILINE)
_TOLERANCE = 0.99  # drivers round the clock that they are asked for
_BUSY_PERCENT = 20.0  # of a GPU that should be idle; a desktop at rest is below
_HEAT_MARGIN_C = 5.0  # below the limit of a zone; a few minutes of load are worth as much


@dataclass(frozen=True)
class BoardState:
    """State at one moment. What is None or empty could not be read.

    Attributes:
        at: ISO 8601, UTC.
        power_mode: As nvpmodel calls it, `MAXN`.
        power_mode_id: Its number.
        clocks: By domain: `gpu`, `emc`, `cpu0` ….
        temperatures_c: By thermal zone, in degrees Celsius.
        throttling: Reasons that the kernel gives for slowing down; empty if none.
        fan_percent: Of its full speed, 0 to 100.
        free_mib: Memory that is available.
        desktop: A display server is running.
        gpu_load_percent: 0 to 100.
        jetson: It is a Jetson: then all of this is expected to be readable.
        power_modes: Numbers of all power modes of the board, by name.
        limits_c: Temperature at which a thermal zone slows something down, in degrees Celsius.
        throttle_events: How often it has been slowed down since it started, by reason.
    """

    at: str
    power_mode: str = ""
    power_mode_id: Optional[int] = None
    clocks: Mapping[str, Clock] = field(default_factory=dict)
    temperatures_c: Mapping[str, float] = field(default_factory=dict)
    throttling: Tuple[str, ...] = ()
    fan_percent: Optional[float] = None
    free_mib: Optional[float] = None
    desktop: bool = False
    gpu_load_percent: Optional[float] = None
    jetson: bool = False
    power_modes: Mapping[str, int] = field(default_factory=dict)
    limits_c: Mapping[str, float] = field(default_factory=dict)
    throttle_events: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Doubt:
    """Why a latency measured in this state proves nothing, and the command that mends it.

    Attributes:
        reason: With what was found and what was expected.
        command: To run on the board; empty if none helps.
    """

    reason: str
    command: str


def read_state(root: Path = Path("/")) -> BoardState:
    """Read the state of this board. Runs `nvpmodel -q` and `nvidia-smi` where there are such; never sudo.

    Args:
        root: Where `proc`, `sys`, `etc` and the two programs are found.
    """
    jetson = is_jetson(root)
    mode = read_power_mode(root)
    card = read_card(root)
    available = _AVAILABLE.search(read_text(root / "proc/meminfo"))
    return BoardState(
        at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        power_mode=mode.name,
        power_mode_id=mode.id,
        clocks={**_clocks_of(card), **read_clocks(root)},
        temperatures_c={**_temperatures_of(card), **read_temperatures(root)},
        throttling=read_throttling(root) + (card.throttling if card else ()),
        fan_percent=read_fan_percent(root),
        free_mib=round(int(available.group(1)) / 1024, 1) if available else None,
        desktop=_has_desktop(root),
        gpu_load_percent=_read_load(root, card),
        jetson=jetson,
        power_modes=mode.known,
        limits_c=read_limits(root),
        throttle_events=read_throttle_events(root),
    )


def doubts(before: BoardState, after: BoardState, *, fastest_mode: str = "") -> Tuple[Doubt, ...]:
    """Say what about the state before and after a measurement makes it doubtful.

    Args:
        before: State before, with nothing running.
        after: State after.
        fastest_mode: Power mode that the target is meant for; empty: the fastest that the board has.
    """
    found = [*_doubt_throttling(before, after), *_doubt_heat(before, after), *_doubt_load(before)]
    if before.jetson:
        found += [*_doubt_mode(before, after, fastest_mode), *_doubt_clocks(before, after)]
    return tuple(found)


def _doubt_mode(before: BoardState, after: BoardState, fastest_mode: str) -> Iterator[Doubt]:
    known = before.power_modes
    fastest = fastest_mode or fastest_of(known)
    if not before.power_mode:
        yield Doubt("the power mode cannot be read", "sudo nvpmodel -q")
    elif before.power_mode != after.power_mode:
        yield Doubt(f"the power mode changed from {before.power_mode} to {after.power_mode or 'unknown'}", "")
    elif not fastest:
        yield Doubt(
            f"nobody says whether power mode {before.power_mode} is the fastest", "sudo nvpmodel -p --verbose"
        )
    elif before.power_mode not in find_modes(fastest, list(known)) and not same_mode(
        before.power_mode, fastest
    ):
        numbers = [known[name] for name in find_modes(fastest, list(known))]
        reason = f"the power mode is {before.power_mode}, not {fastest}"
        if known and not numbers:
            yield Doubt(
                f"{reason}, which this board has not been flashed with: it has {', '.join(known)}", ""
            )
        else:
            yield Doubt(reason, f"sudo nvpmodel -m {numbers[0]}" if numbers else "sudo nvpmodel -p --verbose")


def _doubt_clocks(before: BoardState, after: BoardState) -> Iterator[Doubt]:
    if "gpu" not in before.clocks or "gpu" not in after.clocks:
        yield Doubt("the clock of the GPU cannot be read", "sudo jetson_clocks --show")
    free = [
        f"{domain} {_mhz(one.minimum)} to {_mhz(one.maximum)}" for domain, one in _free_clocks(before, after)
    ]
    if free:
        yield Doubt(f"clocks are not locked ({', '.join(free)} MHz)", "sudo jetson_clocks")
    for domain in ("gpu", "emc"):
        for moment, state in (("before", before), ("after", after)):
            clock = state.clocks.get(domain)
            if clock and is_locked(domain, clock) and is_slow(clock):
                reason = (
                    f"the {domain} clock was {_mhz(clock.current)} of {_mhz(clock.maximum)} MHz {moment} it"
                )
                yield Doubt(reason, "sudo jetson_clocks")
        yield from _doubt_limit(domain, before.clocks.get(domain), after.clocks.get(domain))


def _doubt_limit(domain: str, before: Optional[Clock], after: Optional[Clock]) -> Iterator[Doubt]:
    if before and after and before.maximum != after.maximum:
        change = f"from {_mhz(before.maximum)} to {_mhz(after.maximum)} MHz"
        yield Doubt(f"the limit of the {domain} clock changed {change}", "sudo jetson_clocks")


def _free_clocks(before: BoardState, after: BoardState) -> Iterator[Tuple[str, Clock]]:
    for domain in sorted({*before.clocks, *after.clocks}):
        clocks = [state.clocks[domain] for state in (before, after) if domain in state.clocks]
        free = [clock for clock in clocks if not is_locked(domain, clock)]
        if free:
            yield domain, free[0]


def is_locked(domain: str, clock: Clock) -> bool:
    """Say whether a clock cannot change by itself; of the memory's, only the clock itself says so."""
    return domain == "emc" or clock.minimum >= clock.maximum * _TOLERANCE


def is_slow(clock: Clock) -> bool:
    """Say whether a clock is below what the power mode allows."""
    return clock.current < clock.maximum * _TOLERANCE


def _doubt_throttling(before: BoardState, after: BoardState) -> Iterator[Doubt]:
    reasons = list(dict.fromkeys(before.throttling + after.throttling))
    if reasons:
        yield Doubt(f"the board throttles ({', '.join(reasons)})", "")
    for reason, count in after.throttle_events.items():
        more = count - before.throttle_events.get(reason, count)
        if more > 0:
            yield Doubt(f"the board was throttled {more} times for {reason}", "")


def _doubt_heat(before: BoardState, after: BoardState) -> Iterator[Doubt]:
    if before.jetson and not (before.temperatures_c and after.temperatures_c):
        yield Doubt("temperatures cannot be read", "")
    for zone, limit in after.limits_c.items():
        readings = [state.temperatures_c[zone] for state in (before, after) if zone in state.temperatures_c]
        if readings and max(readings) > limit - _HEAT_MARGIN_C:
            yield Doubt(f"{zone} is at {max(readings):.0f} °C, and throttled from {limit:.0f} °C on", "")


def _doubt_load(before: BoardState) -> Iterator[Doubt]:
    if (before.gpu_load_percent or 0) > _BUSY_PERCENT:
        yield Doubt(f"the GPU was {before.gpu_load_percent:.0f} % busy before it began", "")
    if before.jetson and before.desktop:
        yield Doubt("a desktop is running, which uses the GPU", "sudo systemctl isolate multi-user.target")


def _clocks_of(card: Optional[Card]) -> Dict[str, Clock]:
    if card is None or card.current_hz is None or not card.maximum_hz:
        return {}
    return {"gpu": Clock(current=card.current_hz, minimum=0, maximum=card.maximum_hz, governor="")}


def _temperatures_of(card: Optional[Card]) -> Dict[str, float]:
    return {} if card is None or card.temperature_c is None else {"gpu": float(card.temperature_c)}


def _read_load(root: Path, card: Optional[Card]) -> Optional[float]:
    """Give the load of the GPU in percent; Jetson's driver says it per mille."""
    files = [file for place in _LOADS for file in list_folders(root / "sys", place)]
    loads = [load / 10 for load in map(read_int, files) if load is not None and 0 <= load <= 1000]
    if loads:
        return max(loads)
    return None if card is None or card.load_percent is None else float(card.load_percent)


def _has_desktop(root: Path) -> bool:
    return any(read_text(name) in _DESKTOPS for name in list_folders(root / "proc", "[0-9]*/comm"))


def _mhz(hertz: int) -> str:
    return f"{hertz / 1e6:.0f}"
