"""A real Slurm on loopback: two nodes with two GPUs each, as far as Slurm counts them, on this machine."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
NODES = ("gpu1", "gpu2")
# gres/gpu takes files that are no devices, with a complaint in its log. The hardware that slurmd finds counts
# for nothing (config_overrides).
_CONFIG = """
ClusterName=edge
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1,preempt_youngest_first,send_user_signal
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=5
SlurmdTimeout={slurmd_timeout_s}
ReturnToService=2
MailProg=/bin/true
GresTypes=gpu
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=1 State=UP
PartitionName=urgent Nodes=ALL MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF State=UP
"""


class Slurm:
    """munged, slurmctld and a slurmd for each node, with ports, keys and state of their own.

    Attributes:
        conf: `slurm.conf`; whoever is to use this Slurm has its path in SLURM_CONF.
    """

    def __init__(self, folder: Path, *, slurmd_timeout_s: int = 300) -> None:
        self.folder = folder
        self.conf = folder / "slurm.conf"
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        for name in ("state", "spool", *(f"spool/{node}" for node in NODES)):
            (folder / name).mkdir()
        files = [folder / f"nvidia{number}" for number in range(2)]
        for file in files:
            file.touch()
        (folder / "gres.conf").write_text(f"Name=gpu File={folder}/nvidia[0-1]\n")
        self.conf.write_text(
            _CONFIG.format(
                folder=folder,
                host=socket.gethostname(),
                port=_free_port(),
                user=getpass.getuser(),
                nodes="\n".join(_node(name) for name in NODES),
                slurmd_timeout_s=slurmd_timeout_s,
            )
        )

    @property
    def environment(self) -> dict[str, str]:
        return {"SLURM_CONF": str(self.conf)}

    def start(self) -> None:
        """Start the daemons, and wait until both nodes are ready for jobs."""
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        files = {
            "socket": "sock",
            "key-file": "key",
            "pid-file": "pid",
            "log-file": "log",
            "seed-file": "seed",
        }
        options = [f"--{option}={self.folder}/munge.{ending}" for option, ending in files.items()]
        self._run("munged", "--foreground", "--force", *options)  # force: a temporary folder is nobody else's
        _wait_for((self.folder / "munge.sock").exists, "munged does not answer")
        self._run("slurmctld", "-D", "-i", "-f", str(self.conf))
        for node in NODES:
            self.start_node(node)
        _wait_for(lambda: self.ask("sinfo", "-h", "-o", "%t").strip() == "idle", "the nodes are not idle")

    def start_node(self, name: str) -> None:
        self._run("slurmd", "-D", "-N", name, "-f", str(self.conf), called=name)

    def kill_node(self, name: str) -> None:
        """Let a node vanish, and what ran there."""
        daemon = self._daemons.pop(name)
        daemon.kill()
        daemon.wait()

    def ask(self, *words: str) -> str:
        """Give what one of Slurm's commands says."""
        found = subprocess.run(
            words, env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=30
        )
        return found.stdout + found.stderr

    def close(self) -> None:
        for words in (("--signal=KILL", "--full"), ()):
            self.ask("scancel", "--quiet", *words, "--user", getpass.getuser())
        end = time.monotonic() + 10
        while self.ask("squeue", "--noheader") and time.monotonic() < end:
            time.sleep(0.1)
        for daemon in reversed(self._daemons.values()):
            daemon.terminate()
        for daemon in self._daemons.values():
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def _run(self, program: str, *options: str, called: str = "") -> None:
        name = called or program
        with (self.folder / f"{name}.out").open("wb") as out:
            self._daemons[name] = subprocess.Popen(
                [str(shutil.which(program, path=_PATH)), *options],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **self.environment},
            )


@contextmanager
def slurm_in(folder: Path, *, slurmd_timeout_s: int = 300) -> Iterator[Slurm]:
    """Give a Slurm that runs as long as the block."""
    missing = [name for name in _PROGRAMS if shutil.which(name, path=_PATH) is None]
    if missing:
        pytest.skip(f"no {missing[0]}: apt-get install munge slurmctld slurmd slurm-client")
    slurm = Slurm(folder, slurmd_timeout_s=slurmd_timeout_s)
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.close()


def _node(name: str) -> str:
    return (
        f"NodeName={name} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 Port={_free_port()}"
        " CPUs=4 RealMemory=16000 Gres=gpu:2 State=UNKNOWN"
    )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _wait_for(holds, failure: str, timeout_s: float = 30) -> None:
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end, failure
        time.sleep(0.05)
