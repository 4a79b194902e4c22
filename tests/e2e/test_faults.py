"""What happens when things go wrong in the middle: nothing is lost, and nothing half done is believed."""

import signal
import subprocess
import time
from pathlib import Path

import pytest
from whole_runs import TINY, options, outcome, run, start

from pipeline.store import Store
from pipeline.upkeep import fsck

pytestmark = pytest.mark.slow


def wait_for_steps(folder: Path, process: subprocess.Popen[str], steps: int) -> bool:
    """Wait until `steps` are done and the next is under way; False if the run ended before."""
    store = Store(folder / ".edgebound")
    while process.poll() is None:
        if len(store.step_keys()) >= steps and any((folder / ".edgebound" / "work").iterdir()):
            return True
        time.sleep(0.01)
    return False


def test_a_run_killed_in_each_stage_goes_on_and_ends_as_if_undisturbed(tmp_path: Path) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    undisturbed.mkdir()
    killed.mkdir()
    (killed / ".edgebound" / "work").mkdir(parents=True)
    expected = run(undisturbed, TINY)
    kills = 0
    for steps in range(len(Store(undisturbed / ".edgebound").step_keys())):
        process = start(killed, "run", "--demo", "--json", *options(TINY))
        if wait_for_steps(killed, process, steps):
            time.sleep(0.05 * (steps % 5))
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
        assert fsck(Store(killed / ".edgebound")) == []

    result = run(killed, TINY)

    assert kills >= 8
    assert fsck(Store(killed / ".edgebound")) == []
    assert result.code == expected.code
    assert [rung["map50_95"] for rung in result.ladder] == [rung["map50_95"] for rung in expected.ladder]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_how_to_go_on(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / ".edgebound" / "work").mkdir(parents=True)
    process = start(tmp_path, "run", "--demo", "--json", *options(TINY))
    assert wait_for_steps(tmp_path, process, 2)
    time.sleep(1)
    process.send_signal(number)
    result = outcome(process)

    assert result.code == 130
    assert result.document["error"]["what"] == "Interrupted."
    assert "the same command goes on" in result.said
    assert "Traceback" not in result.said
    assert fsck(Store(tmp_path / ".edgebound")) == []


@pytest.fixture
def small_disk(tmp_path: Path):  # type: ignore[no-untyped-def]
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], capture_output=True
    ).returncode:
        pytest.skip("mounting a tmpfs needs root")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_ends_in_two_lines_and_a_clean_store(small_disk: Path) -> None:
    result = run(small_disk, TINY)

    assert result.code == 1
    assert "is full" in result.document["error"]["what"]
    assert "Traceback" not in result.said
    assert fsck(Store(small_disk / ".edgebound")) == []


def test_a_read_only_folder_ends_in_two_lines(tmp_path: Path) -> None:
    folder = tmp_path / "read-only"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("mounting a tmpfs needs root")
    try:
        result = run(folder, TINY)
    finally:
        subprocess.run(["umount", folder], check=True)

    assert result.code == 1
    assert "cannot be written" in result.document["error"]["what"]
    assert "Traceback" not in result.said
