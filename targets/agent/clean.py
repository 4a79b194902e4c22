"""Remove what earlier work left on the board."""

import shutil
from pathlib import Path
from typing import List

from targets.agent.job import Job
from targets.agent.lock import holder
from targets.kit import JOB_NAME


def clean(state: Path, *, keep: int) -> List[Path]:
    """Remove old kits, the work done in them, kits that never came whole, and old agents; nothing at work.

    Args:
        state: The agent's own folder on this board.
        keep: The latest so many of each stay.

    Returns:
        What was removed.
    """
    kits = _latest_first(state / "kits")[keep:]
    idle = [kit for kit in kits if holder(Job(kit / JOB_NAME).lock) is None]
    agents = _latest_first(state / "agents")[keep:]
    incoming = [path for path in _latest_first(state / "incoming") if path.is_dir()]
    idle += [path for path in incoming if holder(path.with_name(f"{path.name}.lock")) is None]
    for kit in idle:
        shutil.rmtree(str(kit))
    for agent in agents:
        agent.unlink()
    return [*idle, *agents]


def _latest_first(folder: Path) -> List[Path]:
    found = list(folder.iterdir()) if folder.is_dir() else []
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)
