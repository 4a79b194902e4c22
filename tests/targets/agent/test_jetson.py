"""On a Jetson, here a fixture of its files: who it is, in what state, and what that makes of a latency."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from targets.profile import TargetProfile
from tests.targets.board.trees import AGX_ORIN_JETPACK5, ORIN_NANO_JETPACK6, Tree, nvpmodel, write_tree

from .conftest import Board

Give = Callable[..., Board]
NANO = TargetProfile(
    name="orin-nano-8gb",
    device="Jetson Orin Nano 8GB",
    runtime="null",
    module="orin-nano",
    jetpack="6.2",
    power_modes=("7W", "15W", "25W", "MAXN_SUPER"),
    local=False,
)
GPU = "sys/class/devfreq/17000000.gpu/cur_freq"


@pytest.fixture
def nano(board: Give, tmp_path: Path) -> Callable[..., Board]:
    """Give an Orin Nano, some of its files spoilt."""

    def give(tree: Tree = ORIN_NANO_JETPACK6, **more: object) -> Board:
        here = board("null", target="orin-nano-8gb", profile=NANO, **more)
        here.env = {"EDGEBOUND_SYSROOT": str(write_tree(tmp_path / "sysroot", tree))}
        return here

    return give


@pytest.mark.slow
def test_a_receipt_says_which_board_it_was_and_in_what_state(nano: Give) -> None:
    here = nano()

    done = here.agent("run")

    assert done.returncode == 0, done.stderr
    receipt = here.receipt()
    assert receipt.identity.module == "orin-nano"
    assert receipt.identity.l4t == "36.4.3"
    assert receipt.before.power_mode == "MAXN_SUPER"
    assert receipt.after.clocks["gpu"].current == 1_020_000_000
    assert receipt.doubts == ()
    for one in receipt.engines:
        assert one.power is not None
        assert one.power.rails == ("VDD_IN",)
        assert one.power.loaded_w == 5.0


@pytest.mark.slow
def test_a_clock_that_drops_while_measuring_makes_the_latency_doubtful(nano: Give) -> None:
    here = nano()
    clock = Path(here.env["EDGEBOUND_SYSROOT"]) / GPU
    here.start()
    here.wait_for(lambda event: event.get("phase") == "measure" and event["event"] == "progress")

    clock.write_text("306000000\n")  # while the engines are kept busy for the power monitor
    time.sleep(0.5)
    clock.write_text("1020000000\n")
    here.agent("follow")

    reasons = [doubt.reason for doubt in here.receipt().doubts]
    assert any("gpu clock fell to 306 of 1020 MHz in the middle" in reason for reason in reasons), reasons
    assert here.receipt().engines[0].timings


@pytest.mark.slow
def test_a_slow_power_mode_is_told_with_the_command_that_the_agent_does_not_run(nano: Give) -> None:
    here = nano({**ORIN_NANO_JETPACK6, **nvpmodel("15W", 0)})

    here.agent("run")
    checked = here.agent("check")

    (doubt,) = here.receipt().doubts
    assert "15W, not MAXN_SUPER" in doubt.reason
    assert doubt.command == "sudo nvpmodel -m 2"
    assert checked.returncode == 0
    assert "Not ready to measure: the power mode is 15W" in checked.stderr
    assert "sudo nvpmodel -m 2" in checked.stderr


def test_another_board_is_refused_before_anything_is_built(nano: Give) -> None:
    here = nano(AGX_ORIN_JETPACK5)

    done = here.agent("run")
    checked = here.agent("check")

    assert done.returncode == 4
    assert "its module is agx-orin, not orin-nano" in done.stderr
    assert "not 6.2" in done.stderr
    assert not (here.job / "build").exists()
    assert checked.returncode == 4
    assert "Not orin-nano-8gb: its module is agx-orin" in checked.stderr
