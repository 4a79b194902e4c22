"""Admit: only engines that somebody stands for are loaded."""

from pathlib import Path
from typing import Optional

from targets.engine import FILE_NAME as MANIFEST
from targets.errors import TrustError
from targets.release.place import Place

LOCAL = ".edgebound"
"""Folder of a project in which its own runs lie; what is in it was built here, and nobody signed it."""


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
    elif not (place.engine / MANIFEST).exists():
        return  # it is no engine, which is told better by whoever opens it
    elif not allow_unsigned and LOCAL not in place.engine.resolve().parts:
        raise TrustError(
            f"{place.engine} is not signed, and not of a run of this machine.",
            hint="Pull a release with `pipeline pull`; --allow-unsigned takes it as it is.",
        )
