"""Place: which engine is meant by the folder that somebody names, and who stands for it."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from targets.errors import ModelError, TrustError

CURRENT = "current"
PREVIOUS = "previous"
RELEASES = "releases"
ENGINE = "engine"
SIGNATURE = "signature.json"
LOCAL = ".edgebound"
"""Folder of a project in which its own runs lie; what is in it was built here, and nobody signed it."""
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


def admit(place: Place, trust: Optional[Path], *, allow_unsigned: bool) -> None:
    """See that somebody who is trusted stands for an engine, and for its manifest.

    The files are still to be held against that manifest. A key that is past its date counts: what is in place
    goes on working. Taking a key out of the policy ends that.

    Args:
        place: Where it is.
        trust: Policy; None: the user's or the machine's.
        allow_unsigned: Take it if nobody signed it, or nothing is known of whom to trust.

    Raises:
        TrustError: Nobody does.
    """
    if place.release is not None:
        from targets.release.check import admit_release  # loads what a run's own engines do not need

        admit_release(place.release, trust, allow_unsigned=allow_unsigned)
    elif not allow_unsigned and LOCAL not in place.engine.resolve().parts:
        raise TrustError(
            f"{place.engine} is not signed, and not of a run of this machine.",
            hint="Pull a release with `pipeline pull`; --allow-unsigned takes it as it is.",
        )
