"""Power modes of a Jetson, as nvpmodel has them."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Mapping, Optional, Sequence, Tuple

from targets.board.tree import ask, read_text

_SAYS = "NV Power Mode:"  # and the number in the next line
_NUMBER = re.compile(r"[0-9]{1,4}")
_STATUS = re.compile(r"pmode:(\d{1,4})")
_MODES = re.compile(r"<\s*POWER_MODEL\s+ID=(\d{1,4})\s+NAME=(\S+?)\s*>")
_CORES = re.compile(r"\dCORE$")
_WATTS = re.compile(r"(\d{1,4})W")


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


def parse_query(text: str) -> Tuple[str, Optional[int]]:
    """Give the name and the number that `nvpmodel -q` says; warnings come before, and other lines too."""
    lines = [*text.splitlines(), ""]
    for line, below in zip(lines, lines[1:]):
        if _SAYS in line:
            number = below.strip()
            return line.partition(_SAYS)[2].strip(), int(number) if _NUMBER.fullmatch(number) else None
    return "", None


def parse_modes(conf: str) -> Mapping[str, int]:
    """Give the modes that `nvpmodel.conf` defines."""
    lines = (line for line in conf.splitlines() if not line.lstrip().startswith("#"))
    return {name: int(number) for number, name in _MODES.findall("\n".join(lines))}


def same_mode(one: str, other: str) -> bool:
    """Say whether two names mean one mode."""
    return _plain(one) == _plain(other)


def find_modes(wanted: str, names: Sequence[str]) -> Tuple[str, ...]:
    """Give the modes that a data sheet's name means.

    `30W` is `MODE_30W`. Where there is no plain one, `20W` is any of `MODE_20W_2CORE` and `MODE_20W_6CORE`,
    as on Xavier NX, which differ in their CPUs.
    """
    same = tuple(name for name in names if same_mode(name, wanted))
    return same or tuple(name for name in names if _CORES.sub("", _plain(name)) == _plain(wanted))


def fastest_of(known: Mapping[str, int]) -> str:
    """Give the fastest of a board's modes: MAXN_SUPER, else MAXN, else the one with most watts."""
    return max(known, key=_speed, default="")


def _speed(name: str) -> Tuple[int, int]:
    plain = _plain(name)
    watts = _WATTS.search(plain)
    return (plain == "MAXNSUPER") * 2 + (plain == "MAXN"), int(watts.group(1)) if watts else 0


def _plain(name: str) -> str:
    return re.sub(r"^MODE_|[_ ]", "", name.upper())
