"""kill -9 during a release: the channel has the release before, whole, or the new one, whole."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline.release.desk import Desk
from tests.pipeline.release.stored_run import stored_run

ROOT = Path(__file__).resolve().parents[3]


def release(root: Path, at: int) -> subprocess.CompletedProcess[str]:
    """Release again in a process of its own, which is killed before its file number `at`, counted from 1."""
    command = [sys.executable, "-m", "tests.pipeline.release.killed", str(root), str(at), "--again"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_a_kill_at_any_step_leaves_a_whole_release(tmp_path: Path) -> None:
    stored_run(tmp_path)
    desk = Desk(tmp_path)
    assert desk.release().code == 0
    whole = release(tmp_path, at=0)
    code, files = map(int, whole.stdout.split())
    assert (code, files > 10) == (0, True), whole.stderr

    digests = [desk.find().digest]
    for step in range(1, files + 1, 2):
        killed = release(tmp_path, at=step)

        assert killed.returncode == -signal.SIGKILL, killed.stderr
        shelf = desk.find()
        digests.append(shelf.digest)
        for target in ("cpu", ""):
            shelf.pull(tmp_path / f"out-{step}-{target}", target)
    assert len(set(digests)) <= 2  # before the last name nothing was moved
    assert desk.release("--again").code == 0
    assert desk.find().digest not in digests
