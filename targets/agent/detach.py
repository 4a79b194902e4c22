"""Start a job that goes on when whoever started it has left."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, Dict, Sequence

from targets.agent.disk import explained
from targets.agent.job import Job, now
from targets.agent.lock import holder, sign, try_lock
from targets.agent.run import is_fresh, open_own_kit
from targets.kit import AGENT_NAME, open_seal


def start(kit_folder: Path, job: Job, *, max_age: timedelta, arguments: Sequence[str]) -> Dict[str, Any]:
    """Start a kit's job in the background, unless it runs already or is done.

    Args:
        kit_folder: The kit's.
        job: The job.
        max_age: A measurement older than this is made again.
        arguments: Of `run`.

    Returns:
        `job`, `pid` and `state`: `running` or `done`.

    Raises:
        ModelError: The kit is broken, or not this agent's.
        DiskFullError: There is no room.
    """
    _, kit_id = open_own_kit(kit_folder)
    open_seal(kit_folder, kit_id)
    with explained(job.folder):
        job.folder.mkdir(parents=True, exist_ok=True)
        note = {"pid": os.getpid(), "job": str(job.folder.resolve()), "since": now()}
        lock = try_lock(job.lock, note)
        if lock is None:
            return _answer(job, (holder(job.lock) or {}).get("pid"), "running")
        try:
            if job.code() == 0 and is_fresh(job, kit_id, max_age):
                return _answer(job, None, "done")
            job.forget("rc")
            pid = _spawn(kit_folder / AGENT_NAME, [*arguments, "--lock", str(lock)], job.log, lock)
            sign(lock, dict(note, pid=pid))
            return _answer(job, pid, "running")
        finally:
            os.close(lock)  # the child has it: at no time does the job look left


def _spawn(agent: Path, arguments: Sequence[str], log: Path, lock: int) -> int:
    """Start the agent in a session of its own, with no terminal and no pipe of ours."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, str(agent), "run", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=(lock,),
        )
    child.returncode = 0  # it is meant to outlive us: no warning that it does
    return child.pid


def _answer(job: Job, pid: Any, state: str) -> Dict[str, Any]:
    return {"job": str(job.folder.resolve()), "pid": pid, "state": state}
