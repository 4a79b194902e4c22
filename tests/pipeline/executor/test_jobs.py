"""A run as jobs: which, in what order, and by which key it is found again."""

from pathlib import Path

import pytest

from pipeline.config import load_config
from pipeline.executor.jobs import check_ranks, jobs_of, key_of
from pipeline.kits import Order
from pipeline.profiles import find_profiles
from pipeline.request import Request
from targets.errors import UsageError


def request(*settings: str, targets: tuple[str, ...] = ("cpu", "cpu-ort"), until: str = "") -> Request:
    return Request(
        config=load_config(None, settings, demo=True, folder=Path()),
        profiles=find_profiles(targets),
        folder=Path(),
        until=until,
        order=Order(demo=True, settings=settings, asked=targets),
    )


def test_one_job_trains_and_then_each_target_has_its_own() -> None:
    jobs = jobs_of(request("executor.gpus=2", "executor.targets.cpus=4"))
    train, cpu, ort = jobs

    assert [job.name for job in jobs] == ["train", "cpu", "cpu-ort"]
    assert (cpu.after, ort.after) == (train.called, train.called)
    assert train.words[-2:] == ("--until", "check")
    assert train.words.count("--target") == 2
    assert cpu.words[-2:] == ("--target", "cpu")
    assert (train.resources.gpus, cpu.resources.gpus, cpu.resources.cpus) == (2, 0, 4)


def test_a_run_that_ends_with_what_targets_share_is_one_job() -> None:
    (job,) = jobs_of(request(until="train"))

    assert job.words[-2:] == ("--until", "train")


def test_the_targets_jobs_stop_where_the_run_is_to_stop() -> None:
    assert jobs_of(request(until="build"))[1].words[-2:] == ("--until", "build")


def test_other_resources_are_the_same_run() -> None:
    assert key_of(request()) == key_of(request("executor.partition=gpu", "executor.hours=3"))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(request("train.epochs=3"), id="a setting"),
        pytest.param(request(targets=("cpu",)), id="targets"),
        pytest.param(request(until="build"), id="the last stage"),
    ],
)
def test_another_run_has_another_key(other: Request) -> None:
    assert key_of(other) != key_of(request())


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        pytest.param(
            ("executor.nodes=2",), "`executor.nodes: 2` does not go with `train.ranks: 1`", id="idle"
        ),
        pytest.param(
            ("executor.nodes=2", "executor.gpus=1", "train.ranks=4"),
            "2 a node, which has `executor.gpus: 1`",
            id="too few GPUs",
        ),
        pytest.param(("executor.targets.nodes=2",), "a target's job uses one node", id="target"),
    ],
)
def test_nodes_that_nobody_would_use_are_refused(settings: tuple[str, ...], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        check_ranks(request(*settings))
