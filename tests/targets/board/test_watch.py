import time
from collections.abc import Callable
from pathlib import Path

import pytest

from targets.board.state import doubts, read_state
from targets.board.watch import watching
from tests.targets.board.trees import AGX_ORIN_JETPACK5, JETSONS, X86_CPU, Tree, write_tree

GPU = "sys/class/devfreq/17000000.ga10b"
Wait = Callable[[Callable[[], object]], None]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_tree(tmp_path, AGX_ORIN_JETPACK5)


def test_a_clock_that_drops_in_the_middle_is_a_doubt_though_before_and_after_are_fine(
    root: Path, wait_for: Wait
) -> None:
    before = read_state(root)
    with watching(root) as watch:
        (root / GPU / "cur_freq").write_text("624000000\n")
        wait_for(lambda: any(clock.current == 624000000 for clock in watch.clocks))
        (root / GPU / "cur_freq").write_text("1300500000\n")
    after = read_state(root)

    assert doubts(before, after) == ()
    (doubt,) = watch.doubts()
    assert doubt.reason.startswith("the gpu clock fell to 624 of 1300 MHz in the middle")
    assert doubt.command == "sudo jetson_clocks"


def test_a_limit_that_changes_in_the_middle_is_a_doubt(root: Path, wait_for: Wait) -> None:
    with watching(root) as watch:
        wait_for(lambda: watch.clocks)
        for kind in ("cur", "min", "max"):
            (root / GPU / f"{kind}_freq").write_text("624000000\n")
        wait_for(lambda: watch.clocks[-1].maximum == 624000000)

    assert "the limit of the gpu clock changed in the middle (624 to 1300 MHz)" in [
        one.reason for one in watch.doubts()
    ]


def test_over_current_in_the_middle_is_a_doubt(root: Path) -> None:
    with watching(root) as watch:
        (root / "sys/class/hwmon/hwmon1/oc3_event_cnt").write_text("3\n")

    (doubt,) = watch.doubts()
    assert doubt.reason == "the board was throttled 3 times for over-current oc3 in the middle"


def test_throttling_in_the_middle_is_a_doubt(root: Path, wait_for: Wait) -> None:
    (root / "sys/class/thermal/cooling_device2/cur_state").write_text("1\n")

    with watching(root) as watch:
        wait_for(lambda: watch.throttling)
    (root / "sys/class/thermal/cooling_device2/cur_state").write_text("0\n")

    (doubt,) = watch.doubts()
    assert doubt.reason == "the board throttled in the middle (gpu-throttle-alert is at 1)"


def test_clocks_that_were_never_locked_are_not_told_twice(root: Path, wait_for: Wait) -> None:
    (root / GPU / "min_freq").write_text("306000000\n")
    (root / GPU / "cur_freq").write_text("306000000\n")

    with watching(root) as watch:
        wait_for(lambda: watch.clocks)

    assert watch.clocks[0].current == 306000000
    assert watch.doubts() == ()


@pytest.mark.parametrize("tree", [*JETSONS.values(), X86_CPU, {}], ids=[*JETSONS, "server", "nothing"])
def test_a_board_that_keeps_its_pace_is_beyond_doubt(tree: Tree, tmp_path: Path) -> None:
    with watching(write_tree(tmp_path, tree)) as watch:
        time.sleep(0.05)

    assert watch.doubts() == ()
