"""Power of a board, from its INA3221 monitors, and energy per inference."""

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Iterator, List, Optional, Sequence, Tuple

from targets.board.repeat import repeating
from targets.board.tree import list_folders, read_int, read_text

RATE_HZ = 10.0
_TOTALS = ("VDD_IN", "POM_5V_IN")  # what goes into the whole module (rbonghi/jetson_stats jtop/core/power.py)
_SUM_CHANNEL = 7  # of INA3221: the sum of its shunt voltages, no rail
_CHIP = "ina3221"


@dataclass(frozen=True)
class Power:
    """Power drawn while something ran.

    Attributes:
        rails: That were summed: `VDD_IN` alone where the board has it, else all.
        idle_w: Mean before, in watts.
        loaded_w: Mean during, in watts.
        energy_mj: Per inference beyond idle, in millijoules: (loaded - idle) x time per inference.
        samples: Taken while loaded.
        rate_hz: Of the samples.
    """

    rails: Tuple[str, ...]
    idle_w: float
    loaded_w: float
    energy_mj: Optional[float]
    samples: int
    rate_hz: float


@dataclass(frozen=True)
class Rail:
    """One channel of a monitor.

    Attributes:
        name: As its label says, `VDD_GPU_SOC`.
        voltage: File, in millivolts.
        current: File, in milliamperes.
    """

    name: str
    voltage: Path
    current: Path


@contextmanager
def sampling(root: Path = Path("/"), *, rate_hz: float = RATE_HZ) -> "Iterator[List[float]]":
    """Sample the board's power while the block runs; the list fills with watts if there are monitors."""
    rails = find_rails(root)
    samples: List[float] = []

    def sample() -> None:
        watts = read_watts(rails)
        if watts is not None:
            samples.append(watts)

    if not rails:
        yield samples
        return
    with repeating(sample, rate_hz=rate_hz):
        yield samples


def summarize(
    idle: Sequence[float],
    loaded: Sequence[float],
    *,
    root: Path,
    seconds_per_call: Optional[float],
    rate_hz: float = RATE_HZ,
) -> Optional[Power]:
    """Summarize samples; None if there are none of one kind.

    Args:
        idle: Watts before.
        loaded: Watts while something ran.
        root: Where the monitors are found.
        seconds_per_call: Of what ran; None if not known.
        rate_hz: Of the samples.
    """
    if not idle or not loaded:
        return None
    beyond = mean(loaded) - mean(idle)
    measurable = seconds_per_call is not None and beyond > 0
    return Power(
        rails=tuple(rail.name for rail in find_rails(root)),
        idle_w=round(mean(idle), 3),
        loaded_w=round(mean(loaded), 3),
        energy_mj=round(beyond * seconds_per_call * 1000, 3) if measurable and seconds_per_call else None,
        samples=len(loaded),
        rate_hz=rate_hz,
    )


def find_rails(root: Path) -> Tuple[Rail, ...]:
    """Find the rails whose sum is the power of the board: that of the module if it has one, else all."""
    rails = [rail for monitor in _monitors(root) for rail in _rails_of(monitor)]
    totals = [rail for rail in rails if rail.name in _TOTALS]
    return tuple(totals[:1] or rails)


def read_watts(rails: Sequence[Rail]) -> Optional[float]:
    """Give the sum of the rails in watts; None if one of them cannot be read."""
    total = 0.0
    for rail in rails:
        millivolts, milliamperes = read_int(rail.voltage), read_int(rail.current)
        if millivolts is None or milliamperes is None:
            return None
        total += millivolts * milliamperes / 1e6
    return total


def _monitors(root: Path) -> List[Path]:
    """Give the folders with the figures; I2C addresses stay, numbers of hwmon differ from boot to boot."""
    devices = list_folders(root / "sys/bus/i2c/devices", "*")
    chips = [device for device in devices if _CHIP in read_text(device / "name")]
    return [monitor for chip in chips for monitor in list_folders(chip, "hwmon/hwmon[0-9]*")]


def _rails_of(monitor: Path) -> Iterator[Rail]:
    for label in list_folders(monitor, "in[0-9]*_label"):
        name = read_text(label)
        channel = label.name[len("in") : -len("_label")]
        if not name or "NC" in name or not channel.isdecimal() or int(channel) == _SUM_CHANNEL:
            continue
        yield Rail(name, monitor / f"in{channel}_input", monitor / f"curr{channel}_input")
