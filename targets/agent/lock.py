"""Locks that the kernel frees however their holder dies: one of a job, one of the whole board."""

import contextlib
import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional

_POLL_S = 0.2
_GLANCES = 5  # whoever looks who holds a lock holds it for an instant too


def try_lock(path: Path, note: Mapping[str, Any]) -> Optional[int]:
    """Take a lock if it is free.

    Args:
        path: The lock's file.
        note: Left there, for whoever asks who holds it.

    Returns:
        A file descriptor that holds the lock until it, and all that were made from it, are closed; or None.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(str(path), os.O_RDWR | os.O_CREAT, 0o644)
    for _ in range(_GLANCES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.01)
        else:
            sign(descriptor, note)
            return descriptor
    os.close(descriptor)
    return None


def sign(descriptor: int, note: Mapping[str, Any]) -> None:
    """Leave another note in a lock that one holds."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(note, sort_keys=True).encode(), 0)


def wait_for_lock(
    path: Path, note: Mapping[str, Any], *, wait_s: float, waiting: Callable[[Dict[str, Any]], None]
) -> Optional[int]:
    """Take a lock, and wait for it if need be.

    Args:
        path: The lock's file.
        note: Left there.
        wait_s: How long to wait, in seconds.
        waiting: Told once who holds it.
    """
    end = time.monotonic() + wait_s
    told = False
    while True:
        descriptor = try_lock(path, note)
        if descriptor is not None or time.monotonic() >= end:
            return descriptor
        if not told:
            waiting(holder(path) or {})
            told = True
        time.sleep(_POLL_S)


def holder(path: Path) -> Optional[Dict[str, Any]]:
    """Give the note of whoever holds a lock; None if nobody does."""
    try:
        descriptor = os.open(str(path), os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        note: Dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):  # it may be about to write it
            note = dict(json.loads(path.read_text(encoding="utf-8")))
        return note
    else:
        return None
    finally:
        os.close(descriptor)
