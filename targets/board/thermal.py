"""Temperatures, throttling and the fan."""

import re
from pathlib import Path
from typing import Dict, Iterator, Mapping, Optional, Tuple

from targets.board.tree import list_folders, read_int, read_text

_OFF_C = -40.0  # below it is no temperature: Jetson's sensors say -256 when they are off
_TRIPS = ("passive", "hot", "critical")
_LEAST_LIMIT_C = 60.0  # trips below steer fans
# What slows something down; fans and alerts about hot surfaces are cooling devices too.
_SLOWS = re.compile(r"cpufreq|devfreq|throttle|ga10b|gv11b|gpu|Processor", re.IGNORECASE)
_FANS = ("pwmfan", "pwm-fan", "pwm_fan")
_FULL_PWM = 255  # Documentation/hwmon/sysfs-interface.rst


def read_temperatures(root: Path) -> Mapping[str, float]:
    """Give the temperature of each thermal zone that is on, in degrees Celsius."""
    found: Dict[str, float] = {}
    for name, zone in _zones(root):
        figure = read_int(zone / "temp")
        if figure is not None and figure / 1000 > _OFF_C:
            found[name] = figure / 1000
    return found


def read_limits(root: Path) -> Mapping[str, float]:
    """Give the temperature from which each zone is slowed down or switched off, in degrees Celsius."""
    found: Dict[str, float] = {}
    for name, zone in _zones(root):
        trips = (
            read_int(zone / f"{kind.name[: -len('_type')]}_temp")
            for kind in list_folders(zone, "trip_point_*_type")
            if read_text(kind) in _TRIPS
        )
        limits = [trip / 1000 for trip in trips if trip is not None and trip / 1000 >= _LEAST_LIMIT_C]
        if limits:
            found[name] = min(limits)
    return found


def read_throttling(root: Path) -> Tuple[str, ...]:
    """Say which cooling devices slow something down right now."""
    devices = list_folders(root / "sys/class/thermal", "cooling_device[0-9]*")
    states = ((read_text(one / "type"), read_int(one / "cur_state")) for one in devices)
    return tuple(
        f"{name} is at {state}" for name, state in states if _SLOWS.search(name) and (state or 0) > 0
    )


def read_throttle_events(root: Path) -> Mapping[str, int]:
    """Give how often the board has been slowed down since it started, by reason.

    Jetson counts over-current (`soctherm_oc`, `oc1_event_cnt` …), x86 the heat of its cores.
    """
    found: Dict[str, int] = {}
    for monitor in _monitors(root, ("soctherm_oc",)):
        for counter in list_folders(monitor, "oc*_event_cnt"):
            found[f"over-current {counter.name.split('_')[0]}"] = read_int(counter) or 0
    cores = list_folders(root / "sys/devices/system/cpu", "cpu[0-9]*/thermal_throttle/core_throttle_count")
    if cores:
        found["heat of the CPU"] = sum(read_int(core) or 0 for core in cores)
    return found


def read_fan_percent(root: Path) -> Optional[float]:
    """Give how fast the fan is driven, 0 to 100; None where there is none."""
    speeds = [read_int(monitor / "pwm1") for monitor in _monitors(root, _FANS)]
    known = [speed for speed in speeds if speed is not None and 0 <= speed <= _FULL_PWM]
    return round(100 * max(known) / _FULL_PWM, 1) if known else None


def _zones(root: Path) -> Iterator[Tuple[str, Path]]:
    """Give each zone and a name of its own: types may repeat."""
    names: Dict[str, int] = {}
    for zone in list_folders(root / "sys/class/thermal", "thermal_zone[0-9]*"):
        kind = read_text(zone / "type") or zone.name
        names[kind] = names.get(kind, 0) + 1
        yield kind if names[kind] == 1 else f"{kind} {names[kind]}", zone


def _monitors(root: Path, names: Tuple[str, ...]) -> Iterator[Path]:
    """Give hardware monitors by their driver's name: their numbers differ from boot to boot."""
    folders = list_folders(root / "sys/class/hwmon", "hwmon[0-9]*")
    return (folder for folder in folders if read_text(folder / "name") in names)
