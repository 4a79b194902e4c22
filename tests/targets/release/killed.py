"""Run as a program: pulls again and again, killed (SIGKILL) before each change of the file system in turn.

Arguments: a folder with `trust.json`, in which `device` is made; a release that is there before, and the one
that is pulled: the same where none is there before. Prints how many changes there are.
"""

import os
import shutil
import signal
import sys
from datetime import datetime, timezone
from pathlib import Path

from targets.registry.access import Access
from targets.registry.reference import parse_reference
from targets.release.pull import Order, pull
from targets.trust.policy import load_policy

CHANGES = ("os.rename", "os.symlink", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "shutil.rmtree")
"""Audit events; `open` for writing is one too."""


def killed_at(change: int, order: Order) -> bool:
    """Pull in a child that dies before its nth change; say whether it did."""
    child = os.fork()
    if child == 0:
        seen = 0

        def watch(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal seen
            writes = (
                event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            )
            if event in CHANGES or writes:
                seen += 1
                if seen == change:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        pull(order)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), status
    return status != 0


def main() -> None:
    folder, before, after = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    device = folder / "device"
    settings = {
        "policy": load_policy(folder / "trust.json"),
        "access": Access(),
        "now": datetime(2026, 11, 26, 2, 0, tzinfo=timezone.utc),
        "folder": device,
    }
    old, new = (Order(parse_reference(text), **settings) for text in (before, after))  # type: ignore[arg-type]
    names = [pull(old).folder.name] if before != after else []
    scene = folder / "scene"
    device.rename(scene) if names else scene.mkdir()
    change = 1
    while True:
        shutil.rmtree(device, ignore_errors=True)
        shutil.copytree(scene, device, symlinks=True)
        died = killed_at(change, new)
        check(device, names)
        done = pull(new)
        assert done.folder.name == (device / "current").readlink().name
        assert not died or check(device, [*names, done.folder.name]) == done.folder.name
        if not died:
            break
        change += 1
    sys.stdout.write(f"{change - 1}\n")


def check(device: Path, names: "list[str]") -> str:
    """See that a folder has one whole engine, and remembers no less than that; give its name."""
    from targets.release.check import check_all_files, check_signature
    from targets.release.state import load_state

    if not names and not (device / "current").is_symlink():
        return ""
    policy = load_policy(device.parent / "trust.json")
    current = device / "current"
    release = check_signature(current.resolve(), policy, None)
    check_all_files(release)
    assert load_state(device).highest(release.facts) >= release.facts.sequence
    previous = device / "previous"
    if previous.is_symlink():
        check_all_files(check_signature(previous.resolve(), policy, None))
    for path in (device / "releases").iterdir():  # whatever is there is whole
        check_all_files(check_signature(path, policy, None))
    return current.resolve().name


if __name__ == "__main__":
    main()
