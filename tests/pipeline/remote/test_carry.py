"""A kit goes to a board over ssh, and its receipt comes back."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from targets.agent.lock import try_lock
from targets.errors import EdgeboundError
from targets.kit import BoardWork
from targets.profile import TargetProfile
from tests.board_fixture.sshd import Sshd, free_port

from .conftest import Yard, slow_measurement


@pytest.mark.slow
def test_the_receipt_of_a_kit_comes_back_over_ssh(yard: Yard) -> None:
    yard.device()
    kit = yard.kit(runtime="onnxruntime", models=2)

    brought = yard.carry(kit)

    receipt = yard.receipt(kit, brought)
    assert [one.failed for one in receipt.engines] == ["", ""]
    assert brought.why == ()
    steps = [line for line in yard.heard.lines if line.startswith("started")]
    assert steps == [
        "started kit to board-1",
        "started build on board-1",
        "started measure on board-1",
        "started verify on board-1",
        "started receipt from board-1",
    ]


@pytest.mark.slow
def test_a_job_that_is_done_is_not_done_again(yard: Yard) -> None:
    yard.device()
    kit = yard.kit()
    first = yard.receipt(kit, yard.carry(kit))
    sent = yard.wire.carried

    second = yard.receipt(kit, yard.carry(kit))

    assert second == first
    assert yard.wire.carried - sent < 0.5 * sum(path.stat().st_size for path in kit.rglob("*.*"))


@pytest.mark.slow
def test_this_machine_itself_can_be_the_board(yard: Yard) -> None:
    yard.device(host="local", port=0)
    kit = yard.kit()

    brought = yard.carry(kit)

    assert yard.receipt(kit, brought).identity.os
    assert yard.wire.connections == 0


@pytest.mark.slow
def test_pictures_that_another_kit_brought_are_not_sent_again(yard: Yard) -> None:
    yard.device()
    yard.carry(yard.kit("first", side=400))
    pictures = sum(path.stat().st_size for path in (yard.folder / "first" / "pictures").iterdir())
    other = yard.kit("other", side=400, work=BoardWork(runs=21, seconds=2.0, warmup_runs=5, warmup_s=0.05))
    sent = yard.wire.carried

    brought = yard.carry(other)

    yard.receipt(other, brought)
    assert yard.wire.carried - sent < pictures


@pytest.mark.slow
def test_kits_beyond_those_to_keep_are_removed_from_the_board(yard: Yard) -> None:
    yard.device(keep=1)
    yard.carry(yard.kit("first"))
    other = yard.kit("other", work=slow_measurement(runs=21))

    yard.carry(other)

    assert len(yard.jobs()) == 1


@pytest.mark.slow
def test_the_free_one_of_two_boards_is_chosen(yard: Yard) -> None:
    yard.device("busy", state=f"{yard.folder}/busy")
    yard.device("free")
    with held(Path(f"{yard.folder}/busy/board.lock")):
        yard.carry(yard.kit())

    assert "started build on free" in yard.heard.lines


@pytest.mark.slow
def test_a_second_slot_is_used_while_the_first_is_busy(yard: Yard) -> None:
    yard.device(slots=2)
    with held(yard.state / "board.lock"):
        brought = yard.carry(yard.kit())

    assert brought.receipt
    assert not any("busy" in line for line in yard.heard.lines)


@pytest.mark.slow
def test_a_board_that_stays_busy_is_a_reason_and_no_failure(yard: Yard) -> None:
    yard.device(wait_s=0.1)
    with held(yard.state / "board.lock"):
        brought = yard.carry(yard.kit())

    assert brought.receipt is None
    (reason,) = brought.why
    assert reason.startswith("board-1: The board is busy: process ")
    assert any(line.startswith("board-1 is busy, waiting up to 0 s: process") for line in yard.heard.lines)


def test_who_claims_the_target_is_asked_and_nobody_else(yard: Yard) -> None:
    yard.device(targets=["elsewhere", "here@6.2"])

    brought = yard.carry(yard.kit())

    devices = yard.folder / "devices.yaml"
    assert brought.why == (f"no device in {devices} is 'here'; there are: elsewhere, here@6.2",)
    assert yard.wire.connections == 0


@pytest.mark.slow
def test_a_board_that_is_not_the_target_is_left_alone(yard: Yard) -> None:
    yard.device()
    profile = TargetProfile(name="here", device="AGX Orin", runtime="null", module="agx-orin", jetpack="6.2")

    brought = yard.carry(yard.kit(profile=profile))

    assert brought.receipt is None
    (reason,) = brought.why
    assert reason.startswith("board-1: it is not here: ")
    assert yard.jobs() == []


def test_all_reasons_are_given_at_once(yard: Yard) -> None:
    nobody = free_port()
    yard.device("off", port=nobody)
    yard.device("retired", slots=0)
    yard.device("bare", python="python3.99")

    brought = yard.carry(yard.kit())

    assert brought.receipt is None
    retired, off, bare = brought.why
    assert retired == "retired: it is out of service (slots: 0)"
    assert off.startswith("off: It cannot be reached: ")
    assert "Connection refused" in off
    assert off.endswith("Is it on, in this network, and sshd running there?")
    assert bare.startswith("bare: ")
    assert "python3.99: not found" in bare


def test_an_unknown_host_key_is_refused_with_how_to_check_it(yard: Yard) -> None:
    empty = yard.folder / "nobody_known"
    empty.touch()
    yard.device(known_hosts=str(empty))

    brought = yard.carry(yard.kit())

    port = yard.wire.port
    (reason,) = brought.why
    assert reason == (
        "board-1: Its host key is not known here. Compare what"
        f" `ssh-keyscan -p {port} 127.0.0.1 | ssh-keygen -lf -` says here with what"
        " `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` says on the board; if they are the same:"
        f" ssh-keyscan -p {port} 127.0.0.1 >> {empty}"
    )


def test_a_changed_host_key_is_refused(yard: Yard) -> None:
    known = yard.folder / "known"
    other = (yard.sshd.folder / "user_key.pub").read_text().split()[:2]
    known.write_text(f"[127.0.0.1]:{yard.wire.port} {' '.join(other)}\n")
    yard.device(known_hosts=str(known), options=["StrictHostKeyChecking=no"])

    brought = yard.carry(yard.kit())

    (reason,) = brought.why
    assert reason.startswith("board-1: Its host key is another one than before.")
    assert str(known) in reason


def test_a_board_that_does_not_know_our_key_is_named_with_the_remedy(yard: Yard) -> None:
    stranger = yard.folder / "stranger"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(stranger)], check=True)
    yard.device(identity_file=str(stranger), user="nobody")

    brought = yard.carry(yard.kit())

    assert brought.why == (
        f"board-1: It does not let us in. ssh-copy-id -p {yard.wire.port} nobody@127.0.0.1",
    )


def test_a_machine_without_ssh_says_so(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    yard.device()
    kit = yard.kit()
    monkeypatch.setenv("PATH", str(yard.folder))

    brought = yard.carry(kit)

    assert brought.why == (
        "board-1: There is no ssh client on this machine. sudo apt-get install openssh-client",
    )


@pytest.mark.slow
def test_a_login_shell_that_talks_does_not_disturb(yard: Yard, tmp_path: Path) -> None:
    folder = tmp_path / "talkative"
    folder.mkdir()
    chatter = 'ForceCommand echo Welcome; echo Hello >&2; eval "$SSH_ORIGINAL_COMMAND"'
    server = Sshd(folder, settings=chatter)
    yard.device(
        port=server.port,
        known_hosts=str(server.known_hosts()),
        identity_file=str(server.key),
    )
    kit = yard.kit()

    try:
        brought = yard.carry(kit)
    finally:
        server.close()

    yard.receipt(kit, brought)


@pytest.mark.slow
def test_a_failed_job_is_told_in_the_boards_words(yard: Yard) -> None:
    yard.device()
    kit = yard.kit()
    yard.heard.at("started build", lambda: shutil.rmtree(yard.jobs()[0].parent / "pictures"))

    with pytest.raises(EdgeboundError) as caught:
        yard.carry(kit)

    assert caught.value.what.startswith("board-1: ")
    assert "000000.png" in caught.value.what
    assert caught.value.hint


@pytest.mark.slow
def test_a_kit_that_was_damaged_on_the_board_is_mended(yard: Yard) -> None:
    yard.device()
    kit = yard.kit()
    first = yard.receipt(kit, yard.carry(kit))
    folder = yard.jobs()[0].parent
    (folder / "pictures" / "000003.png").write_bytes(b"broken")
    (folder / "models" / "fp32" / "model.onnx").unlink()
    (folder / "stranger").touch()

    second = yard.receipt(kit, yard.carry(kit))

    assert second == first


def test_a_board_without_room_for_the_kit_is_a_reason(yard: Yard, small_disk: Path) -> None:
    yard.device(state=f"{small_disk}/state")
    fill(small_disk, leave=200 << 10)

    brought = yard.carry(yard.kit())

    assert brought.receipt is None
    (reason,) = brought.why
    assert "room" in reason or "full" in reason or "cannot be written" in reason


@pytest.mark.slow
def test_a_disk_that_fills_up_while_a_kit_arrives_fails_and_the_next_run_goes_on(
    yard: Yard, small_disk: Path
) -> None:
    yard.device(state=f"{small_disk}/state")
    kit = yard.kit()
    yard.heard.at("started kit", lambda: fill(small_disk, leave=300 << 10))

    with pytest.raises(EdgeboundError, match=r"board-1: The disk that holds .* is full"):
        yard.carry(kit)

    (small_disk / "ballast").unlink()
    yard.receipt(kit, yard.carry(kit))


@contextmanager
def held(lock: Path) -> Iterator[None]:
    """Hold a board's lease, as another agent would."""
    descriptor = try_lock(lock, {"pid": os.getpid(), "job": "another", "since": "now"})
    assert descriptor is not None
    try:
        yield
    finally:
        os.close(descriptor)


def fill(folder: Path, *, leave: int) -> None:
    """Fill a disk but for so many bytes."""
    (folder / "ballast").write_bytes(bytes(max(0, shutil.disk_usage(folder).free - leave)))
