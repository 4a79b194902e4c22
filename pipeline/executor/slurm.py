"""Slurm: its commands, what they answer, and what they refuse, in our words."""

from __future__ import annotations

import getpass
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from targets.errors import EdgeboundError, UsageError

# States of jobs: https://slurm.schedmd.com/squeue.html
_OVER = frozenset(
    (
        "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
        "PREEMPTED", "REVOKED", "TIMEOUT",
    )
)  # fmt: skip
_TIMEOUT_S = 60.0
_WRONG = {  # what sbatch says of a request that no waiting will grant
    "invalid partition": "There is no such partition. ",
    "invalid account": "The account or partition is not yours to use. ",
    "invalid qos": "There is no such quality of service. ",
    "invalid feature": "No node has these features. ",
    "invalid --": "",
    "unrecognized option": "",
    "requested node configuration is not available": "No node of the partition has so much. ",
    "requested time limit is invalid": "The time limit is over the partition's. ",
    "exceeds partition": "The time limit is over the partition's. ",
}


class UnansweredError(EdgeboundError):
    """Slurm's controller does not answer; its jobs may go on all the same."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a job stands.

    Attributes:
        number: Job id.
        called: Name in the queue.
        state: In Slurm's word, `PENDING`.
        reason: Why it is so, in Slurm's word, or empty.
    """

    number: int
    called: str
    state: str
    reason: str = ""

    @property
    def over(self) -> bool:
        """It will not run any more."""
        return self.state in _OVER


def check_slurm() -> None:
    """See that Slurm's commands are here.

    Raises:
        UsageError: They are not.
    """
    missing = [name for name in ("sbatch", "squeue", "scontrol") if shutil.which(name) is None]
    if missing:
        raise UsageError(
            f"`--executor slurm` needs Slurm, but there is no {' and no '.join(missing)} on this machine.",
            hint="Run on a login node of the cluster; or leave the option out, to work on this machine.",
        )


def submit(script: Path, *, after: int | None, partition: str) -> int:
    """Submit a script; give the job's id.

    Args:
        script: For sbatch.
        after: Id of the job that must succeed first.
        partition: That it asks for, for the hint.

    Raises:
        UsageError: Slurm will never grant what the job asks for.
        UnansweredError: Slurm does not answer.
        EdgeboundError: Slurm refuses the job for another reason.
    """
    dependency = [f"--dependency=afterok:{after}", "--kill-on-invalid-dep=yes"] if after else []
    answer = _ask("sbatch", "--parsable", *dependency, str(script))
    if answer.returncode == 0:
        return int(answer.stdout.split(";")[0])
    wanted = f"partition {partition}" if partition else "its default partition"
    said = " ".join(answer.stderr.replace("sbatch: error: ", "").split())
    for sign, meaning in _WRONG.items():
        if sign in said.lower():
            raise UsageError(
                f"Slurm refuses the job for {wanted}: {meaning}({said})",
                hint=f"Correct `executor:`. {_partitions()}",
            )
    raise EdgeboundError(
        f"Slurm refuses the job: {said}", hint="Correct `executor:`, or ask who runs the cluster."
    )


def find_jobs(called: Iterable[str]) -> dict[str, Standing]:
    """Find this user's jobs by their names in the queue, the newest of each; it forgets those that ended.

    Raises:
        UnansweredError: Slurm does not answer.
    """
    names = ",".join(called)
    answer = _ask(
        "squeue", "--noheader", "--states=all", f"--user={getpass.getuser()}", f"--name={names}",
        "--format=%i|%T|%r|%j",
    )  # fmt: skip
    found: dict[str, Standing] = {}
    for line in answer.stdout.splitlines():
        number, state, reason, name = line.strip().split("|", 3)
        one = Standing(
            number=int(number), called=name, state=state, reason="" if reason == "None" else reason
        )
        if name not in found or found[name].number < one.number:
            found[name] = one
    return found


def look_back(number: int, called: str) -> Standing | None:
    """Ask Slurm's accounting for a job that the queue has forgotten; None where it does not know either."""
    if shutil.which("sacct") is None:
        return None
    answer = _ask(
        "sacct", "--noheader", "--parsable2", "--allocations", f"--jobs={number}", "--format=State,Reason"
    )
    lines = answer.stdout.splitlines()
    if answer.returncode or not lines:
        return None
    state, _, reason = lines[-1].partition("|")
    return Standing(
        number=number, called=called, state=state.split()[0], reason=reason
    )  # "CANCELLED by 1000"


def _ask(*words: str) -> subprocess.CompletedProcess[str]:
    try:
        answer = subprocess.run(
            words, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as exc:
        raise _unanswered(f"{words[0]} did not end within {_TIMEOUT_S:.0f} s") from exc
    said = answer.stderr.lower()
    if answer.returncode and ("unable to contact" in said or "socket timed out" in said or "munge" in said):
        raise _unanswered(" ".join(answer.stderr.split()))
    return answer


def _unanswered(said: str) -> UnansweredError:
    return UnansweredError(
        f"Slurm does not answer: {said}",
        hint="See `scontrol ping`. Jobs that run go on; the same command takes them up again.",
    )


def _partitions() -> str:
    answer = _ask("sinfo", "--noheader", "--format=%R %l %c CPUs %m MB %G")
    lines = [line.strip() for line in answer.stdout.splitlines()]
    return f"Partitions (time limit, of a node): {'; '.join(lines)}" if lines else "See `sinfo`."
