"""Whatever breaks between host and board, the work goes on where it was."""

import os
import shutil
import time
from pathlib import Path

import pytest

from pipeline.remote.persist import Patience
from targets.errors import EdgeboundError

from .conftest import Heard, Yard, in_background, slow_measurement

pytestmark = pytest.mark.slow
IN_FLIGHT = 4 << 20  # bytes that an ssh window holds, and are lost with the connection; the agent, twice


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_a_transfer_that_is_cut_goes_on_where_it_was(yard: Yard) -> None:
    yard.device()
    kit = yard.kit(side=1200)
    size = size_of(kit)
    yard.wire.cut_after = size * 3 // 4

    brought = yard.carry(kit)

    yard.receipt(kit, brought)
    assert yard.wire.connections == 2
    assert yard.wire.carried < size + IN_FLIGHT
    assert any("no connection, trying again" in line for line in yard.heard.lines)


def test_a_receipt_that_is_cut_off_goes_on_where_it_was(yard: Yard) -> None:
    yard.device()
    kit = yard.kit(runtime="onnxruntime")

    def cut_soon() -> None:
        yard.wire.cut_after_returned = yard.wire.returned + 500_000

    yard.heard.at("started receipt", cut_soon)

    brought = yard.carry(kit)

    yard.receipt(kit, brought)
    assert yard.wire.connections == 2


@pytest.mark.parametrize("phase", ["build", "measure", "verify"])
def test_the_work_goes_on_while_the_connection_is_gone(yard: Yard, phase: str) -> None:
    yard.device()
    kit = yard.kit()
    yard.heard.at(f"started {phase}", yard.sshd.kill_sessions)

    brought = yard.carry(kit)

    yard.receipt(kit, brought)
    assert any("no connection, trying again" in line for line in yard.heard.lines)
    events = (yard.jobs()[0] / "events.jsonl").read_text()
    assert events.count('"started"') == 1


def test_a_connection_that_falls_silent_is_given_up_and_made_again(yard: Yard) -> None:
    yard.device(options=["ServerAliveInterval=1", "ServerAliveCountMax=2"])
    kit = yard.kit()

    def silence() -> None:
        yard.wire.dead = True
        in_background(lambda: (time.sleep(4), setattr(yard.wire, "dead", False)))

    yard.heard.at("started measure", silence)

    brought = yard.carry(kit, patience=Patience(first_s=0.1, longest_s=0.5, give_up_s=30))

    yard.receipt(kit, brought)
    assert yard.wire.connections >= 2


def test_an_agent_that_is_killed_is_started_again(yard: Yard) -> None:
    yard.device()
    kit = yard.kit()
    yard.heard.at("started measure", yard.kill_agent)

    brought = yard.carry(kit)

    yard.receipt(kit, brought)
    assert "board-1: the agent was killed; it is started again." in yard.heard.lines
    events = (yard.jobs()[0] / "events.jsonl").read_text()
    assert events.count('"built"') == 1


def test_an_agent_that_is_killed_again_and_again_fails_the_job(yard: Yard) -> None:
    yard.device()
    kit = yard.kit(work=slow_measurement())
    for _ in range(3):
        yard.heard.at("started measure", yard.kill_agent)

    class Killer(Heard):
        def started(self, title: str) -> None:
            super().started(title)
            if title.startswith("measure"):
                yard.kill_agent()

    with pytest.raises(EdgeboundError, match=r"board-1: The agent was killed 3 times\."):
        yard.carry(kit, heard=Killer())


def test_contact_that_is_lost_for_good_is_a_reason_and_the_work_goes_on(yard: Yard) -> None:
    yard.device()
    kit = yard.kit()

    def unplug() -> None:
        yard.wire.refuses = True
        yard.wire.cut()

    yard.heard.at("started measure", unplug)

    brought = yard.carry(kit, patience=Patience(first_s=0.05, longest_s=0.1, give_up_s=0.5))

    assert brought.receipt is None
    assert brought.why[0].startswith("board-1: It cannot be reached")
    yard.wire.refuses = False
    yard.receipt(kit, yard.carry(kit))
    events = (yard.jobs()[0] / "events.jsonl").read_text()
    assert events.count('"built"') == 1


def test_ctrl_c_leaves_the_work_running_and_says_so(yard: Yard) -> None:
    yard.device()
    kit = yard.kit(work=slow_measurement())

    def interrupt() -> None:
        raise KeyboardInterrupt

    yard.heard.at("started measure", interrupt)

    with pytest.raises(KeyboardInterrupt):
        yard.carry(kit)

    pid = yard.agent_pid()
    assert "The work goes on on board-1; the same command takes it up again." in yard.heard.lines
    yard.receipt(kit, yard.carry(kit))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_two_runs_share_one_board_one_after_the_other(yard: Yard) -> None:
    yard.device()
    first, second = yard.kit("first", work=slow_measurement()), yard.kit("second")
    beside = []
    other = Heard()

    def run_other() -> None:
        beside.append(yard.carry(second, heard=other))

    threads = []
    yard.heard.at("started measure", lambda: threads.append(in_background(run_other)))

    brought = yard.carry(first)
    threads[0].join()

    yard.receipt(first, brought)
    yard.receipt(second, beside[0])
    assert any("waiting: process" in line for line in other.lines)


def test_two_runs_with_one_kit_share_one_job(yard: Yard) -> None:
    yard.device()
    kit = yard.kit(work=slow_measurement())
    beside = []
    threads = []

    def run_other() -> None:
        copy = yard.folder / "copy"
        shutil.copytree(kit, copy)
        beside.append(yard.carry(copy, heard=Heard()))

    yard.heard.at("started measure", lambda: threads.append(in_background(run_other)))

    brought = yard.carry(kit)
    threads[0].join()

    assert yard.receipt(kit, brought) == yard.receipt(kit, beside[0])
    assert len(yard.jobs()) == 1
