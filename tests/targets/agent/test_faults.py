"""Whatever kills the agent, the job goes on where it was, and the board is free again."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from targets.agent.lock import holder, try_lock
from targets.kit import BoardWork
from targets.receipt import Receipt

from .conftest import Board

Give = Callable[..., Board]
Seen = Callable[[dict[str, object]], bool]


def digests(receipt: Receipt) -> dict[str, str]:
    """Give the digests of engines and detections."""
    return {name: entry.sha256 for name, entry in receipt.files.items() if name.endswith((".onnx", ".npz"))}


def processes_of(job: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and str(job).encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "moment",
    [
        lambda event: event.get("phase") == "build",
        lambda event: event.get("text") == "built",
        lambda event: event.get("phase") == "measure" and event["event"] == "progress",
        lambda event: event.get("phase") == "verify" and event.get("id") == "int8",
    ],
    ids=[
        "before the first engine",
        "between engines",
        "while measuring",
        "while verifying",
    ],
)
def test_a_killed_agent_goes_on_where_it_was(board: Give, moment: Seen) -> None:
    undisturbed = board(name="undisturbed")
    assert undisturbed.agent("run").returncode == 0
    here = board()
    pid = here.start()
    here.wait_for(moment)
    here.kill(pid)
    built = here.built()
    died = time.monotonic()
    while processes_of(here.job) and time.monotonic() < died + 5:
        time.sleep(0.05)
    assert processes_of(here.job) == []

    done = here.agent("run")

    assert done.returncode == 0, done.stderr
    assert sorted(here.built()) == ["fp32", "int8"], "a finished engine was built again"
    assert here.built()[: len(built)] == built
    assert digests(here.receipt()) == digests(undisturbed.receipt())


@pytest.mark.slow
def test_what_a_power_cut_spoilt_is_made_again(board: Give) -> None:
    here = board("null")
    here.agent("run")
    shutil.rmtree(here.job / "receipt")
    (here.job / "build/fp32/engine/null.json").write_bytes(b"")
    (here.job / "verify/int8.npz").write_bytes(b"")

    here.agent("run")

    assert here.built() == ["fp32", "int8", "fp32"]
    assert here.receipt().engines[0].timings
    with np.load(here.job / "receipt/detections/int8.npz") as found:
        assert len(found["counts"]) == 12


@pytest.mark.slow
def test_two_jobs_never_work_on_one_board_at_once(board: Give) -> None:
    one, two = board("null", name="one"), board("null", name="two")
    with (
        subprocess.Popen(one.command("run", "--json"), stdout=subprocess.PIPE, text=True) as first,
        subprocess.Popen(two.command("run", "--json"), stdout=subprocess.PIPE, text=True) as second,
    ):
        first.communicate()
        second.communicate()

    assert (first.returncode, second.returncode) == (0, 0)
    spans = sorted(work_of(here) for here in (one, two))
    assert spans[0][1] <= spans[1][0]


def work_of(here: Board) -> tuple[int, int]:
    """Give when the engines were made and the receipt written, in nanoseconds."""
    first = min(path.stat().st_mtime_ns for path in (here.job / "build").rglob("*.json"))
    return first, (here.job / "receipt/receipt.json").stat().st_mtime_ns


@pytest.mark.slow
def test_the_board_is_free_once_its_holder_is_killed(board: Give) -> None:
    here = board(work=BoardWork(runs=100_000, seconds=60.0, warmup_runs=1, warmup_s=0.01))
    pid = here.start()
    here.wait_for(lambda event: event.get("phase") == "measure" and event["event"] == "progress")
    status = json.loads(here.agent("status").stdout)
    here.kill(pid)
    lease = None
    for _ in range(100):
        lease = lease or try_lock(here.state / "board.lock", {})
        time.sleep(0.05)

    assert status["busy"]["pid"] == pid
    assert status["busy"]["job"] == str(here.job)
    assert lease is not None


@pytest.mark.slow
def test_a_step_that_is_killed_fails_its_engine_alone_and_is_tried_again(board: Give) -> None:
    here = board(work=BoardWork(runs=20, seconds=1.0, warmup_runs=5, warmup_s=0.05))
    here.start()
    killed = False
    for _ in range(2000):
        for child in processes_of(here.job):
            command = Path(f"/proc/{child}/cmdline")
            if not killed and command.exists() and b"\0build\0int8\0" in command.read_bytes():
                os.kill(child, signal.SIGKILL)
                killed = True
        if here.events() and here.events()[-1]["event"] in ("finished", "failed"):
            break
        time.sleep(0.005)
    here.wait_until_left()
    first = here.receipt()

    here.agent("run", "--max-age-h", "0")

    assert "SIGKILL" in first.engines[1].failed
    assert "memory" in first.engines[1].failed
    assert first.engines[0].timings
    assert here.receipt().engines[1].timings


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of its own, that is soon full."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a tmpfs needs root")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path, *, but: int) -> Path:
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        file.write(b"\0" * max(os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize - but, 0))
    return ballast


def test_too_little_room_is_told_before_anything_is_built(board: Give, small_disk: Path) -> None:
    here = board("null", folder=small_disk)
    fill(small_disk, but=1 << 20)

    done = here.agent("run")

    assert done.returncode == 1
    assert "has room for" in done.stderr
    assert not (here.job / "build").exists()


@pytest.mark.slow
def test_a_disk_that_fills_up_on_the_way_is_told_and_the_job_goes_on_once_there_is_room(
    board: Give, small_disk: Path
) -> None:
    here = board(folder=small_disk)
    lease = try_lock(here.state / "board.lock", {"pid": 0, "job": "the test", "since": "now"})
    assert lease is not None
    here.start()
    here.wait_for(lambda event: "waiting" in str(event.get("text")))
    one_engine = (here.kit / "models/fp32/model.onnx").stat().st_size
    ballast = fill(small_disk, but=int(one_engine * 1.5))
    os.close(lease)
    here.wait_until_left()
    failed = here.events()[-1]

    ballast.unlink()
    done = here.agent("run")

    assert failed["event"] == "failed"
    assert "is full" in str(failed["text"])
    assert "same command" in str(failed["hint"])
    assert done.returncode == 0, done.stderr
    assert here.built() == ["fp32", "int8"]
    assert here.receipt().engines[1].timings


def test_a_folder_that_may_not_be_written_is_told(board: Give, tmp_path: Path) -> None:
    here = board("null")
    closed = tmp_path / "closed"
    closed.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", closed], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a tmpfs needs root")
    try:
        done = here.agent("run", "--job", str(closed / "job"))
    finally:
        subprocess.run(["umount", closed], check=True)

    assert done.returncode == 4
    assert "--job" in done.stderr


def test_a_lock_is_free_once_it_is_closed(tmp_path: Path) -> None:
    lock = try_lock(tmp_path / "lock", {"pid": 7})
    assert lock is not None

    assert holder(tmp_path / "lock") == {"pid": 7}
    assert try_lock(tmp_path / "lock", {"pid": 8}) is None
    os.close(lock)
    assert holder(tmp_path / "lock") is None


def test_nobody_holds_a_lock_that_is_not_there(tmp_path: Path) -> None:
    assert holder(tmp_path / "nothing") is None
