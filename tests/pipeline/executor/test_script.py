"""What sbatch is given."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.executor.jobs import Job
from pipeline.executor.script import script
from pipeline.resources import ExecutorSection, Resources

START = Path("/nfs/a b")


def written(executor: ExecutorSection, resources: Resources = Resources()) -> str:  # noqa: B008  (frozen)
    job = Job(
        name="train",
        target="",
        words=("python", "-m", "x y"),
        resources=resources,
        called="edgebound-1-train",
    )
    return script(job, executor, folder=START / "jobs", start=START)


def options(text: str) -> list[str]:
    return [line.removeprefix("#SBATCH ") for line in text.splitlines() if line.startswith("#SBATCH ")]


def test_what_is_not_asked_for_is_left_to_the_cluster() -> None:
    assert options(written(ExecutorSection())) == [
        "--job-name=edgebound-1-train",
        "--output='/nfs/a b/jobs/train.log'",
        "--open-mode=append",
        "--requeue",
        "--signal=B:USR1@60",
        "--nodes=1",
    ]


def test_what_is_asked_for_is_in_slurms_units() -> None:
    wanted = Resources(
        partition="gpu", account="a", qos="q", constraint="h100&ib", nodes=2, gpus=8, cpus=64, memory_gib=1.5,
        hours=36, options=("--exclusive",),
    )  # fmt: skip

    assert options(written(ExecutorSection(), wanted))[5:] == [
        "--nodes=2",
        "--partition=gpu",
        "--account=a",
        "--qos=q",
        "--constraint='h100&ib'",
        "--ntasks-per-node=1",
        "--gpus-per-node=8",
        "--cpus-per-task=64",
        "--mem=1536M",
        "--time=2160",
        "--exclusive",
    ]


@pytest.mark.parametrize(
    ("executor", "gpus", "command"),
    [
        pytest.param(ExecutorSection(), 0, "python -m 'x y' > ", id="none"),
        pytest.param(
            ExecutorSection(container="e.sif"),
            1,
            "apptainer exec --nv --bind '/nfs/a b' --pwd '/nfs/a b' e.sif python -m 'x y' > ",
            id="apptainer",
        ),
        pytest.param(
            ExecutorSection(container="reg/e:1", container_runtime="pyxis"),
            1,
            "srun --nodes=1 --ntasks=1 --container-image=reg/e:1 --container-mounts='/nfs/a b':"
            "'/nfs/a b' --container-workdir='/nfs/a b' python -m 'x y' > ",
            id="pyxis",
        ),
    ],
)
def test_the_command_runs_in_the_container_that_is_named(
    executor: ExecutorSection, gpus: int, command: str
) -> None:
    assert command in written(executor, Resources(gpus=gpus))


def test_a_script_is_good_bash() -> None:
    text = written(ExecutorSection(setup=("module load cuda",), environment={"A": "it's"}))

    assert subprocess.run(["bash", "-n"], input=text, text=True).returncode == 0
    assert "export A='it'\"'\"'s'\nmodule load cuda\n" in text


def started(folder: Path, program: str) -> "subprocess.Popen[bytes]":
    """Start the script of a job that runs a program, as Slurm does on a node."""
    job = Job(
        name="toy", target="", words=(sys.executable, "-c", program), resources=Resources(), called="toy"
    )
    file = folder / "toy.sh"
    file.write_text(script(job, ExecutorSection(), folder=folder, start=folder))
    return subprocess.Popen(["bash", str(file)], stderr=subprocess.DEVNULL)


KILLS_ITSELF = "import os, signal; open('ready', 'w').close(); os.kill(os.getpid(), signal.SIGTERM)"


def test_work_that_slurm_kills_just_before_its_shell_leaves_no_exit_code_behind(tmp_path: Path) -> None:
    shell = started(tmp_path, KILLS_ITSELF)
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    time.sleep(0.5)  # Slurm's two signals lie some milliseconds apart
    shell.terminate()
    shell.wait()

    assert not (tmp_path / "toy.exit").exists()


@pytest.mark.slow
def test_work_that_is_killed_alone_has_ended_all_the_same(tmp_path: Path) -> None:
    shell = started(tmp_path, KILLS_ITSELF)

    assert shell.wait() == 1
    assert (tmp_path / "toy.exit").read_text() == "143\n"
