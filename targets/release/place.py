"""Place: which engine is meant by the folder that somebody names."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from targets.errors import ModelError

CURRENT = "current"
PREVIOUS = "previous"
RELEASES = "releases"
ENGINE = "engine"
SIGNATURE = "signature.json"
_LINK = re.compile(rf"{RELEASES}/([0-9a-f]{{16}})")


@dataclass(frozen=True)
class Place:
    """An engine on disk.

    Attributes:
        engine: Its folder.
        release: Folder of the release that it came with; None if it did not come with one.
    """

    engine: Path
    release: Optional[Path]


def find_place(folder: Path) -> Place:
    """Say what a folder is: one that was pulled to, a release in it, or an engine.

    Raises:
        ModelError: Its link leads elsewhere.
    """
    if (folder / CURRENT).is_symlink():
        folder = folder / RELEASES / linked(folder, CURRENT)  # read once: it may be switched while we work
    if (folder / SIGNATURE).exists() and (folder / ENGINE).is_dir():
        return Place(folder / ENGINE, folder)
    above = folder.resolve().parent
    if folder.resolve().name == ENGINE and (above / SIGNATURE).exists():
        return Place(folder, above)
    return Place(folder, None)


def linked(folder: Path, link: str) -> str:
    """Give the name of the release that a link leads to; empty if there is no link.

    Raises:
        ModelError: It leads elsewhere, or is no link.
    """
    path = folder / link
    try:
        found = _LINK.fullmatch(os.readlink(str(path)))
    except FileNotFoundError:
        return ""
    except OSError as exc:
        raise ModelError(f"{path} is no link to a release.", hint="Name another folder.") from exc
    if not found:
        raise ModelError(f"{path} leads to {os.readlink(str(path))!r}, no release.", hint="Pull again.")
    return found.group(1)
