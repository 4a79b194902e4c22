"""A Slurm for all tests of the executor, and jobs that only sleep or echo."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.executor.follow import Watched
from pipeline.executor.jobs import Job
from pipeline.executor.script import script
from pipeline.executor.slurm import submit
from pipeline.resources import ExecutorSection, Resources
from tests.slurm_fixture.slurm import Slurm, slurm_in

Submit = Callable[..., Watched]


@pytest.fixture(scope="session")
def running_slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    with slurm_in(tmp_path_factory.mktemp("slurm"), slurmd_timeout_s=10) as slurm:
        yield slurm


@pytest.fixture
def slurm(running_slurm: Slurm, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    """Give the Slurm that this process and its children talk to."""
    for name, value in running_slurm.environment.items():
        monkeypatch.setenv(name, value)
    return running_slurm


@pytest.fixture
def submitted(slurm: Slurm, tmp_path: Path) -> Submit:
    """Give a function that submits a Python program as a job."""

    def submit_program(program: str, *, name: str = "toy", after: int | None = None, **settings) -> Watched:
        wanted = {key: settings.pop(key) for key in list(settings) if key in Resources.__dataclass_fields__}
        job = Job(
            name=name,
            target="",
            words=(sys.executable, "-c", program),
            resources=Resources(**wanted),
            called=f"{tmp_path.name}-{name}",
        )
        file = tmp_path / f"{name}.sh"
        file.write_text(script(job, ExecutorSection(**settings), folder=tmp_path, start=tmp_path))
        number = submit(file, after=after, partition=job.resources.partition)
        return Watched(job=job, number=number, result=tmp_path / name)

    return submit_program
