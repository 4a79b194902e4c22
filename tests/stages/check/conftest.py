"""What the tests of the check share."""

import sys

import pytest


@pytest.fixture(autouse=True)
def tables_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide a TensorRT that is installed: these tests say what the tables answer."""
    monkeypatch.setitem(sys.modules, "tensorrt", None)
