"""A job in the background: started once, followed from anywhere, and missed when it is gone."""

import io
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from targets.agent.clean import clean
from targets.agent.follow import follow
from targets.agent.job import Job, Journal
from targets.agent.lock import try_lock
from targets.errors import UsageError
from targets.kit import BoardWork

from .conftest import Board

Give = Callable[..., Board]


@pytest.mark.slow
def test_a_follower_that_was_cut_off_goes_on_at_its_byte(board: Give) -> None:
    here = board()
    here.start()
    with subprocess.Popen(here.command("follow"), stdout=subprocess.PIPE, text=True) as cut:
        assert cut.stdout is not None
        first = cut.stdout.readline() + cut.stdout.readline()
        cut.kill()

    rest = here.agent("follow", "--from", str(len(first.encode())))

    assert rest.returncode == 0
    assert first + rest.stdout == (here.job / "events.jsonl").read_text()
    assert json.loads(rest.stdout.splitlines()[-1])["event"] == "finished"


@pytest.mark.slow
def test_a_job_that_runs_is_not_started_twice(board: Give) -> None:
    here = board(work=BoardWork(runs=100_000, seconds=20.0, warmup_runs=1, warmup_s=0.01))
    pid = here.start()

    again = json.loads(here.agent("start").stdout)
    beside = here.agent("run")

    assert again == {"job": str(here.job), "pid": pid, "state": "running"}
    assert beside.returncode == 2
    assert f"Process {pid} works" in beside.stderr


@pytest.mark.slow
def test_a_job_that_is_done_is_not_started_again(board: Give) -> None:
    here = board("null")
    here.agent("run")

    again = json.loads(here.agent("start").stdout)

    assert again["state"] == "done"
    assert [one["event"] for one in here.events()].count("started") == 1


@pytest.mark.slow
def test_a_job_goes_on_when_its_starter_s_session_ends(board: Give) -> None:
    here = board("null")
    with subprocess.Popen(
        here.command("start"), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, start_new_session=True
    ) as starter:
        assert starter.stdout is not None
        begin = time.monotonic()
        pid = json.loads(starter.stdout.read())["pid"]  # ends only once nobody has our pipe
        answered_s = time.monotonic() - begin

    assert os.getsid(pid) == pid
    assert here.agent("follow").returncode == 0
    assert answered_s < 5


@pytest.mark.slow
def test_a_killed_job_is_lost_to_its_follower(board: Give) -> None:
    here = board(work=BoardWork(runs=100_000, seconds=20.0, warmup_runs=1, warmup_s=0.01))
    pid = here.start()
    here.wait_for(lambda event: event.get("phase") == "measure")
    with subprocess.Popen(here.command("follow"), stdout=subprocess.PIPE, text=True) as follower:
        here.kill(pid)
        text, _ = follower.communicate()

    assert follower.returncode == 1
    assert json.loads(text.splitlines()[-1])["event"] == "lost"
    assert here.agent("start").returncode == 0


def test_the_exit_code_of_a_failed_job_is_the_follower_s(board: Give) -> None:
    here = board("tensorrt")
    here.start()

    done = here.agent("follow")

    assert done.returncode == 4
    assert json.loads(done.stdout.splitlines()[-1])["event"] == "failed"


def test_following_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no job"):
        follow(Job(tmp_path), offset=0, out=io.StringIO())


def test_half_a_line_is_kept_back_and_cut_off_by_the_next_agent(tmp_path: Path) -> None:
    job, out = Job(tmp_path), io.StringIO()
    lock = try_lock(job.lock, {})
    assert lock is not None
    job.prepare("kit")
    Journal(job, lambda _: None).write("phase", phase="build")
    with job.events.open("ab") as file:
        file.write(b'{"event": "progr')
    os.close(lock)

    code = follow(job, offset=0, out=out)
    job.prepare("kit")
    Journal(job, lambda _: None).write("finished")

    assert code == 1
    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == ["phase", "lost"]
    assert [json.loads(line)["event"] for line in job.events.read_bytes().splitlines()] == [
        "phase",
        "finished",
    ]


def test_old_kits_go_and_those_at_work_stay(tmp_path: Path) -> None:
    kits = [tmp_path / "kits" / name for name in ("oldest", "working", "latest")]
    for place, kit in enumerate(kits):
        (kit / "job").mkdir(parents=True)
        os.utime(kit, (place, place))
    lock = try_lock(kits[1] / "job/lock", {})
    assert lock is not None
    os.utime(kits[1], (1, 1))

    removed = clean(tmp_path, keep=1)

    assert removed == [kits[0]]
    assert kits[1].exists()
    assert kits[2].exists()
    os.close(lock)


def test_a_state_folder_that_is_not_there_is_clean(tmp_path: Path) -> None:
    assert clean(tmp_path / "nothing", keep=0) == []


def test_the_status_says_what_a_program_wants_to_know(board: Give) -> None:
    here = board("null")

    status = json.loads(here.agent("status").stdout)

    assert set(status) == {"agent", "identity", "runtimes", "facts", "busy", "free_bytes", "missing"}
    assert status["runtimes"]["onnxruntime"]
    assert status["busy"] is None
    assert status["missing"] == []
    assert status["free_bytes"] > 0


def test_the_check_is_content_where_nothing_is_missing(board: Give) -> None:
    here = board("null")

    for command in ("check", "--check"):
        done = here.agent(command)

        assert done.returncode == 0
        assert "Nothing is missing." in done.stderr
