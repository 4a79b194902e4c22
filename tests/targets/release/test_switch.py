"""Switch: whatever happens in between, one whole engine is in place."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from targets.errors import TrustError
from targets.release.check import check_all_files, check_signature
from targets.release.state import State, load_state, save_state
from tests.targets.release.conftest import Shelf
from tests.targets.release.releases import KEY, some_facts, write_policy

ROOT = Path(__file__).parents[3]
KILLED = Path(__file__).with_name("killed.py")


def run(shelf: Shelf, before: str, after: str) -> int:
    """Kill pulls before each of their changes in turn, and give how many there are."""
    write_policy(shelf.device.parent / "trust.json", KEY.policy())
    done = subprocess.run(
        [sys.executable, KILLED, shelf.device.parent, before, after],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.slow
def test_a_pull_that_is_killed_before_any_of_its_changes_leaves_the_old_engine_or_the_new(
    shelf: Shelf,
) -> None:
    shelf.release(shelf.recipe(run="old"), tags=("old",))
    shelf.release(shelf.recipe(sequence=101, run="new"), tags=("new",))

    assert run(shelf, f"oci:{shelf.layout}:old", f"oci:{shelf.layout}:new") > 30


@pytest.mark.slow
def test_a_first_pull_that_is_killed_before_any_of_its_changes_leaves_nothing_or_the_new(
    shelf: Shelf,
) -> None:
    shelf.release(shelf.recipe(run="new"), tags=("new",))

    assert run(shelf, f"oci:{shelf.layout}:new", f"oci:{shelf.layout}:new") > 30


@pytest.mark.slow
def test_a_device_that_loses_power_at_any_time_always_has_one_whole_engine(shelf: Shelf) -> None:
    """Two releases in turns, by the command, killed at random."""
    trust = write_policy(shelf.device.parent / "trust.json", KEY.policy())
    shelf.release(shelf.recipe(run="old"), tags=("old",))
    shelf.release(shelf.recipe(sequence=101, run="new"), tags=("new",))
    shelf.pull(f"oci:{shelf.layout}:old")
    chance = random.Random(3)
    for turn in range(12):
        reference = f"oci:{shelf.layout}:{('new', 'old')[turn % 2]}"
        command = [sys.executable, "-m", "pipeline", "pull", reference, "-o", shelf.device, "--trust", trust]
        child = subprocess.Popen(
            [*command, "--allow-older"], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(chance.uniform(0.2, 1.5))
        child.send_signal(signal.SIGKILL)
        child.wait()

        release = check_signature((shelf.device / "current").resolve(), KEY.policy(), None)
        assert check_all_files(release) > 5
        assert load_state(shelf.device).highest(release.facts) >= release.facts.sequence


def test_what_is_remembered_is_never_lowered(tmp_path: Path) -> None:
    state = State().with_release(some_facts(sequence=7), "a").with_release(some_facts(sequence=3), "b")
    save_state(tmp_path, state)

    assert load_state(tmp_path) == state
    assert state.highest(some_facts()) == 7
    assert (state.reference, state.channel, state.name) == ("b", "stable", "lamps")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_a_state_of_anything_else_is_an_error_of_ours(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "state.json").write_bytes(content)

        with pytest.raises(TrustError):
            load_state(Path(name))
