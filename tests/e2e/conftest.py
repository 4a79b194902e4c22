"""One small model is trained for all whole runs."""

from pathlib import Path

import pytest
from whole_runs import SMALL, run


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder in which the small demo has run."""
    folder = tmp_path_factory.mktemp("project")
    first = run(folder, SMALL)
    assert first.code == 0, first.said
    return folder
