"""Power modes of a Jetson, as nvpmodel has them."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Mapping, Optional

from targets.board.tree import ask, read_text

_MODE = re.compile(r"NV Power Mode:[ \t]*(.*?)[ \t]*$(?:\s*^[ \t]*(\d+)[ \t]*$)?", re.MULTILINE)
_STATUS = re.compile(r"pmode:0*(\d+)")
_MODES = re.compile(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+?)\s*>")
_WATTS = re.compile(r"(\d+)W")


@dataclass(frozen=True)
class PowerMode:
    """The power mode of a Jetson. What is empty or None could not be read.

    Attributes:
        name: As nvpmodel calls it, `MAXN`.
        id: Its number.
        known: Numbers of all modes of the board, by name.
    """

    name: str = ""
    id: Optional[int] = None
    known: Mapping[str, int] = field(default_factory=dict)


def read_power_mode(root: Path) -> PowerMode:
    """Read the power mode: from `nvpmodel -q`, or from the files that it keeps."""
    known = parse_modes(read_text(root / "etc/nvpmodel.conf"))
    name, mode_id = parse_query(ask(root, "nvpmodel", ["-q"]))
    if mode_id is None:
        status = _STATUS.search(read_text(root / "var/lib/nvpmodel/status"))
        mode_id = known.get(name, int(status.group(1)) if status and not name else None)
    if not name:
        name = next((one for one, number in known.items() if number == mode_id), "")
    return PowerMode(name=name, id=mode_id, known=known)


def parse_query(text: str) -> "tuple[str, Optional[int]]":
    """Give the name and the number that `nvpmodel -q` says; warnings come before, and other lines too."""
    found = _MODE.search(text)
    if not found:
        return "", None
    return found.group(1), int(found.group(2)) if found.group(2) else None


def parse_modes(conf: str) -> Mapping[str, int]:
    """Give the modes that `nvpmodel.conf` defines."""
    lines = (line for line in conf.splitlines() if not line.lstrip().startswith("#"))
    return {name: int(number) for number, name in _MODES.findall("\n".join(lines))}


def same_mode(one: str, other: str) -> bool:
    """Say whether two names are of the same mode: `MODE_30W` of AGX Orin is `30W` of its data sheet."""
    return _plain(one) == _plain(other)


def fastest_of(known: Mapping[str, int]) -> str:
    """Give the fastest of a board's modes: MAXN_SUPER, else MAXN, else the one with most watts."""
    return max(known, key=_speed, default="")


def _speed(name: str) -> "tuple[int, int]":
    plain = _plain(name)
    watts = _WATTS.search(plain)
    return (plain == "MAXNSUPER") * 2 + (plain == "MAXN"), int(watts.group(1)) if watts else 0


def _plain(name: str) -> str:
    return re.sub(r"^MODE_|[_ ]", "", name.upper())
