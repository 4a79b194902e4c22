"""Lease: one holder of a name at a time, across processes and, on a shared file system, hosts.

On one machine `flock` decides, and the kernel frees it when its holder is killed. Between machines flock
cannot be relied on, so the holder also writes who it is and renews that; a lease of another host that has
not been renewed for `EXPIRES_S` seconds is taken over.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

EXPIRES_S = 60.0
RENEW_S = 15.0
POLL_S = 0.1


@contextmanager
def lease(path: Path, *, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold the lease `path` for the length of the block.

    Args:
        path: A file of its own; it stays behind.
        waiting: Told once who holds it, if somebody does.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _acquire(file, waiting)
        done = threading.Event()
        renewal = threading.Thread(target=_renew, args=(file, done), daemon=True)
        renewal.start()
        try:
            yield
        finally:
            done.set()
            renewal.join()
            _write(file, None)
    finally:
        os.close(file)  # frees the flock


def _acquire(file: int, waiting: Callable[[str], None]) -> None:
    told = False
    pause = threading.Event()
    while (holder := _try(file)) is not None:
        if not told:
            waiting(holder)
            told = True
        pause.wait(POLL_S)


def _try(file: int) -> str | None:
    """Take the lease, or say who holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return str(_read(file).get("holder", "another process"))
    record = _read(file)
    if record and record["host"] != socket.gethostname() and _age_s(record) < EXPIRES_S:
        fcntl.flock(file, fcntl.LOCK_UN)
        return str(record["holder"])
    _write(file, _record())
    return None


def _renew(file: int, done: threading.Event) -> None:
    while not done.wait(RENEW_S):
        _write(file, _record())


def _record() -> dict[str, Any]:
    host = socket.gethostname()
    now = datetime.now(timezone.utc).timestamp()
    return {"host": host, "holder": f"process {os.getpid()} on {host}", "renewed": now}


def _age_s(record: dict[str, Any]) -> float:
    return float(datetime.now(timezone.utc).timestamp() - record["renewed"])


def _read(file: int) -> dict[str, Any]:
    with suppress(ValueError):  # its holder is writing, or was killed while writing
        record = json.loads(os.pread(file, 4096, 0) or b"{}")
        if isinstance(record, dict) and {"host", "holder", "renewed"} <= record.keys():
            return record
    return {}


def _write(file: int, record: dict[str, Any] | None) -> None:
    content = json.dumps(record or {}).encode()
    os.pwrite(file, content, 0)
    os.ftruncate(file, len(content))
