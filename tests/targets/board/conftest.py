"""Boards to spoil, and threads to wait for."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def deny() -> Callable[[Path], None]:
    """Make a file unreadable even for root, whom permissions do not stop: reading a folder fails."""

    def deny_file(file: Path) -> None:
        file.unlink()
        file.mkdir()

    return deny_file


@pytest.fixture
def wait_for() -> Callable[[Callable[[], object]], None]:
    """Wait until something is true, for a while."""

    def wait(condition: Callable[[], object]) -> None:
        patience = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < patience, "it did not happen"
            time.sleep(0.01)

    return wait
