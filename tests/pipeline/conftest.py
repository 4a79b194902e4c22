"""A store and a runner over toy stages, and a user's project with a small data set."""

import shutil
import sys
from pathlib import Path

import pytest
from toys import Listener, Shout, Sow

from pipeline.runner import Runner
from pipeline.store import Store
from stages.data.demo import render_demo
from stages.stage import no_progress

SETTINGS = """\
model: {weights: yolo11n.yaml}
data: {path: steel/data.yaml, calibration: 4}
train: {epochs: 1, imgsz: 64, batch: 4, workers: 0}
"""


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


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an Ultralytics data folder of 12 training and 6 validation pictures; not to be changed."""
    folder = tmp_path_factory.mktemp("rendered") / "steel"
    render_demo(folder, train=12, val=6, size_px=64, seed=0, progress=no_progress)
    return folder


@pytest.fixture
def project(rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder with pipeline.yaml and a data set in `steel`, to change at will."""
    monkeypatch.setattr(sys, "path", [*sys.path])  # the command line puts the project there
    folder = tmp_path / "project"
    shutil.copytree(rendered, folder / "steel")
    (folder / "pipeline.yaml").write_text(SETTINGS)
    return folder
