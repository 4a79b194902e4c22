"""A store and a runner over toy stages."""

from pathlib import Path

import pytest
from toys import Listener, Shout, Sow

from pipeline.runner import Runner
from pipeline.store import Store


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
