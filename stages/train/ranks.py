"""Ranks: several processes train one model, on this machine or on all nodes of a Slurm job.

torchrun starts them. When one crashes all are started again, from the last snapshot: a rank that is alone
cannot go on, and one that is new cannot join in the middle of an epoch.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from stages.stage import Progress
from stages.train import Train, TrainInputs
from stages.train.devices import devices_of
from stages.train.request import Request, error_of, progress_of
from targets import errors
from targets.errors import EdgeboundError, UsageError

CRASHES = 3  # in a row, without a snapshot in between
_LOOK_S = 0.2
_END_S = 40.0  # torchrun gives its ranks 30 s
_SAID_LINES = 4
_TELLING = re.compile(r"\[rank\d+\]: [\w.]+(Error|Exception)\b|(exitcode|traceback) +: .*(Signal |SIG)")
# A child that ends with its parent, and then becomes torchrun: ranks that outlive a killed run would write
# their snapshots among those of the next one. prctl(PR_SET_PDEATHSIG = 1, SIGTERM = 15) holds on over exec.
_END_WITH_PARENT = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 15); parent, *words = sys.argv[1:];"
    " os.getppid() == int(parent) and os.execvp(words[0], words)"
)


def train_in_ranks(stage: Train, inputs: TrainInputs, out: Path, progress: Progress) -> tuple[str, ...]:
    """Train with `stage.ranks` processes, or one a device; the snapshots in `out` then say how it went.

    Args:
        stage: With its settings.
        inputs: Of the step.
        out: Folder of the step, which all nodes see.
        progress: To be told what rank 0 tells.

    Returns:
        What a person should know, a sentence each.

    Raises:
        UsageError: The ranks do not divide into the nodes, or srun is missing.
        EdgeboundError: Ranks crash again and again, or train what one would not, or one tells an error.
    """
    ranks = max(stage.ranks, len(devices_of(stage.device)))
    launch = Launch(out=out, progress=progress, nodes=nodes_for(ranks, os.environ))  # noqa: TID251  (Slurm's word)
    Request(stage=stage, inputs=inputs, out=out).write(launch.request)
    if not launch.newest_snapshot():
        progress(0, stage.epochs, "comparing the gradients of two ranks with those of one")
        said = launch.run(_torchrun("stages.train.agreement", 2, "--standalone"))
        if said is not None:
            raise _crashed("The check that ranks agree on gradients", said, launch.log)
    crashes, in_a_row, before = 0, 0, launch.newest_snapshot()
    while (said := launch.run(launch.command(ranks))) is not None:
        crashes += 1
        in_a_row = in_a_row + 1 if launch.newest_snapshot() == before else 1
        before = launch.newest_snapshot()
        if in_a_row >= CRASHES:
            raise _crashed(f"A rank, {CRASHES} times since the last snapshot,", said, launch.log)
    return (f"A rank crashed {crashes} times; training went on from the last snapshot.",) if crashes else ()


def nodes_for(ranks: int, environment: Mapping[str, str]) -> int:
    """Give the nodes of the Slurm job that this is, or 1.

    Raises:
        UsageError: They cannot have as many ranks each, or there is no srun to reach them with.
    """
    nodes = int(environment.get("SLURM_JOB_NUM_NODES", "1"))
    if ranks % nodes:
        raise UsageError(
            f"`train.ranks: {ranks}` does not divide into the {nodes} nodes of this Slurm job.",
            hint=f"Set train.ranks to a multiple of {nodes}.",
        )
    if nodes > 1 and shutil.which("srun") is None:
        raise UsageError(
            "Training on several nodes needs Slurm's srun, which is missing here.",
            hint="Put Slurm's commands into the container image, or train on one node.",
        )
    return nodes


@dataclass(frozen=True, kw_only=True)
class Launch:
    """Starts the ranks of a step, as often as it takes.

    Attributes:
        out: Folder of the step.
        progress: To be told what rank 0 tells.
        nodes: Machines.
        request: For the ranks.
        log: What they say.
    """

    out: Path
    progress: Progress
    nodes: int
    request: Path = field(init=False)
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        folder = self.out / "ranks"
        folder.mkdir(parents=True, exist_ok=True)
        object.__setattr__(self, "request", folder / "request.json")
        object.__setattr__(self, "log", folder / "log.txt")

    def newest_snapshot(self) -> str:
        """Give the name of the newest snapshot, or nothing."""
        return max((path.name for path in self.out.glob("snapshots/epoch-*.pt")), default="")

    def command(self, ranks: int) -> list[str]:
        """Give the command that starts all ranks."""
        if self.nodes == 1:
            return _torchrun("stages.train.rank", ranks, "--standalone")
        # The address is free here, on the first node, now; rank 0 is there.
        meeting = ("--rdzv-backend", "c10d", "--rdzv-endpoint", f"{socket.gethostname()}:{_free_port()}")
        cpus = os.environ.get("SLURM_CPUS_PER_TASK")  # noqa: TID251  (Slurm says so there; srun does not obey it)
        return [
            *("srun", f"--nodes={self.nodes}", "--ntasks-per-node=1", "--kill-on-bad-exit=1", "--overlap"),
            *((f"--cpus-per-task={cpus}",) if cpus else ()),
            *_torchrun("stages.train.rank", ranks // self.nodes, "--nnodes", str(self.nodes), *meeting),
        ]

    def run(self, command: list[str]) -> str | None:
        """Run a command to its end; give what it said last if it crashed, or None.

        Raises:
            EdgeboundError: A rank has an error of ours, which would come again.
        """
        for file in (error_of(self.request), progress_of(self.request)):
            file.unlink(missing_ok=True)
        with self._running([*command, str(self.request)]) as process:
            while True:
                try:
                    code = process.wait(_LOOK_S)
                except subprocess.TimeoutExpired:
                    self._pass_on()
                    continue
                break
        if error_of(self.request).exists():
            record = json.loads(error_of(self.request).read_bytes())
            raise getattr(errors, record["kind"], EdgeboundError)(record["what"], hint=record["hint"])
        return _last_words(self.log) if code else None

    @contextmanager
    def _running(self, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
        """Give the process, and see that it ends with the block, and its ranks with it."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}  # noqa: TID251  (user's modules)
        guarded = [sys.executable, "-c", _END_WITH_PARENT, str(os.getpid()), *command]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                guarded,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(_END_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def _pass_on(self) -> None:
        """Tell the last that rank 0 told."""
        file = progress_of(self.request)
        if not file.exists():
            return
        *whole, _ = file.read_bytes().split(b"\n")
        if whole:
            told = json.loads(whole[-1])
            self.progress(told["done"], told["total"], told["note"])


def _torchrun(module: str, ranks: int, *options: str) -> list[str]:
    """Give the command that starts ranks on a machine, or this machine's part of them."""
    # Its own restarts would begin anew an error that comes again, and go on after a crash that always does.
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--max-restarts", "0"]
    return [*torchrun, "--nproc-per-node", str(ranks), *options, "-m", module]


def _crashed(what: str, said: str, log: Path) -> EdgeboundError:
    return EdgeboundError(
        f"{what} crashed. It last said: {said}",
        hint=f"See {log}; often memory ran out (train.batch, train.workers), or a GPU fell off its bus"
        " (nvidia-smi). The same command goes on from the last snapshot.",
    )


def _last_words(log: Path) -> str:
    """Give the last lines that tell what went wrong: an exception of a rank, or the signal that killed it."""
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    told = [line for line in lines if _TELLING.match(line)]
    return " | ".join(dict.fromkeys((told or lines)[-_SAID_LINES:]))


def _free_port() -> int:
    with socket.create_server(("", 0)) as server:
        return int(server.getsockname()[1])
