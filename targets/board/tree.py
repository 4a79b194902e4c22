"""Files of `proc`, `sys` and `etc`, which may be missing, unreadable or full of surprises."""

import re
import subprocess
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

_PROGRAMS = ("usr/sbin", "usr/bin", "usr/local/bin", "usr/lib/wsl/lib")
_TIMEOUT_S = 10.0  # nvidia-smi takes seconds where the driver has to be loaded first
_WHOLE = re.compile(r"-?\d+")


def read_text(path: Path) -> str:
    """Give a file as text, empty if it cannot be read; zero bytes, which end strings, become lines."""
    try:
        return path.read_bytes().replace(b"\0", b"\n").decode("utf-8", "replace").strip()
    except OSError:  # the kernel says so for sensors that are off, too
        return ""


def read_start(path: Path, size: int) -> bytes:
    """Give the first bytes of a file; none if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError:
        return b""


def read_int(path: Path) -> Optional[int]:
    """Give the whole number that a file begins with; None if there is none. Some drivers add a unit."""
    found = _WHOLE.match(read_text(path))
    return int(found.group()) if found and len(found.group()) < 20 else None


def list_folders(folder: Path, pattern: str) -> List[Path]:
    """Give what is in a folder by a pattern, numbers in their order; nothing if it cannot be read."""
    try:
        return sorted(folder.glob(pattern), key=lambda path: [_order(part) for part in path.parts])
    except OSError:
        return []


def ask(root: Path, program: str, arguments: Sequence[str]) -> str:
    """Give what a program of this board prints, whether it succeeds or not; empty if it is not there.

    Args:
        root: Below which the program is looked for.
        program: Its name.
        arguments: For it.
    """
    path = find_program(root, program)
    if path is None:
        return ""
    try:
        done = subprocess.run(
            [str(path), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace")


def find_program(root: Path, program: str) -> Optional[Path]:
    """Find a program of this board; None if it is not there."""
    places = (root / folder / program for folder in _PROGRAMS)
    return next((place for place in places if _is_file(place)), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _order(part: str) -> List[Tuple[int, str]]:
    return [(int(one), "") if one.isdigit() else (-1, one) for one in re.split(r"(\d+)", part)]
