"""What this board is, what is here, and whether it is busy."""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, Optional

from targets.agent.archive import own_digest
from targets.agent.backend import facts_of
from targets.agent.lock import holder
from targets.agent.needs import RUNTIMES, missing, runtime_version
from targets.agent.run import LEASE_NAME
from targets.board.identity import identify
from targets.errors import EvidenceError
from targets.profile import TargetProfile


def status(root: Path, state: Path, profile: Optional[TargetProfile]) -> Dict[str, Any]:
    """Describe this board.

    Args:
        root: Below which the board's `proc`, `sys` and `etc` are.
        state: The agent's own folder.
        profile: Of the kit at hand; None if there is none.
    """
    identity = identify(root)
    runtimes = {name: runtime_version(name) for name in RUNTIMES}
    return {
        "agent": own_digest(),
        "identity": asdict(identity),
        "runtimes": runtimes,
        "facts": _facts() if runtimes["tensorrt"] else {},
        "busy": holder(state / LEASE_NAME),
        "free_bytes": _free_bytes(state),
        "missing": [asdict(one) for one in missing(profile, identity)],
    }


def _facts() -> Dict[str, str]:
    try:
        return facts_of(TargetProfile(name="", device="", runtime="tensorrt"))
    except EvidenceError:  # no GPU: `missing` says so
        return {}


def _free_bytes(folder: Path) -> int:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(str(folder)).free
