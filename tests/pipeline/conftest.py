"""A store and a runner over toy stages."""

import sys
from pathlib import Path

import pytest

from pipeline.runner import Done, Runner
from pipeline.store import Store

sys.path.insert(0, str(Path(__file__).parent))  # for toys.py

from toys import Shout, Sow


class Listener:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def started(self, title: str) -> None: ...
    def progress(self, done: float, total: float, note: str = "") -> None: ...
    def finished(self, done: Done) -> None: ...
    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / ".edgebound")
    store.prepare()
    return store


@pytest.fixture
def runner(store: Store) -> Runner:
    Sow.calls.clear()
    Shout.calls.clear()
    return Runner(store, Listener())
