"""What all tests share: where the real data lie, and what happens where something is missing."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does, before torch is loaded
CHECKOUT = Path(__file__).resolve().parent.parent
IN_CI = os.environ.get("EDGEBOUND_NO_SKIPS") == "1"  # .ci/run: nothing passes by not running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the fast tests first."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> pytest.TestReport:
    """Turn a skip into a failure where everything must be installed, hardware aside."""
    report = yield
    if IN_CI and report.skipped and item.get_closest_marker("gpu") is None:
        report.outcome = "failed"
    return report


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Give the folder of real data sets and models; it is not part of the project."""
    folder = Path(os.environ.get("EDGEBOUND_TEST_DATA", CHECKOUT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}; set EDGEBOUND_TEST_DATA")
    return folder
