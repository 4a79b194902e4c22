import json
import os
import signal
import time
from pathlib import Path

from pipeline.lease import EXPIRES_S, lease


def silent(_holder: str) -> None: ...


def hold_in_child(path: Path) -> int:
    """Fork a process that takes the lease and sleeps; return once it has it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with lease(path, waiting=silent):
            os.write(writing, b"x")
            time.sleep(60)
        os._exit(0)
    os.read(reading, 1)
    return child


def test_a_killed_holder_frees_the_lease_at_once(tmp_path: Path) -> None:
    child = hold_in_child(tmp_path / "key")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    begin = time.monotonic()
    with lease(tmp_path / "key", waiting=silent):
        waited = time.monotonic() - begin

    assert waited < EXPIRES_S / 2


def test_who_waits_is_told_who_holds(tmp_path: Path) -> None:
    child = hold_in_child(tmp_path / "key")
    told: list[str] = []

    def stop_waiting(holder: str) -> None:
        told.append(holder)
        os.kill(child, signal.SIGKILL)

    with lease(tmp_path / "key", waiting=stop_waiting):
        pass
    os.waitpid(child, 0)

    assert told == [f"process {child} on {os.uname().nodename}"]


def test_the_lease_of_another_host_holds_until_it_expires(tmp_path: Path) -> None:
    now = time.time()
    record = {"host": "elsewhere", "holder": "process 1 on elsewhere", "renewed": now - EXPIRES_S + 0.3}
    (tmp_path / "key").write_text(json.dumps(record))
    told: list[str] = []
    with lease(tmp_path / "key", waiting=told.append):
        waited = time.time() - now

    assert told == ["process 1 on elsewhere"]
    assert waited >= 0.2


def test_a_record_that_was_cut_off_while_written_is_nobody(tmp_path: Path) -> None:
    (tmp_path / "key").write_text('{"host": "elsew')
    told: list[str] = []
    with lease(tmp_path / "key", waiting=told.append):
        pass

    assert told == []
