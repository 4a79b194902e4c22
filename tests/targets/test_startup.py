"""Start-up: a fresh process loads an engine and says how long that took, and what it needed."""

from pathlib import Path

import pytest

from targets.engine import write_manifest
from targets.errors import EvidenceError
from targets.model import InputSpec, ModelSpec
from targets.profile import TargetProfile
from targets.runtimes.null import NullRuntime
from targets.startup import measure_start, peak_mib

PROFILE = TargetProfile(name="null", device="none", runtime="null")


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    ModelSpec(family="toy", class_names=("hole",), input=InputSpec(32, 32)).save(tmp_path)
    NullRuntime().build(tmp_path / "model.onnx", PROFILE, tmp_path)
    write_manifest(tmp_path, profile=PROFILE, precision="fp32", runtime_version="1")
    return tmp_path


def test_memory_is_that_of_the_new_process_and_not_of_this_one(engine: Path) -> None:
    ballast = bytearray(300 << 20)  # touched, so that it is resident
    ballast[:: 1 << 12] = b"\x01" * len(ballast[:: 1 << 12])

    start = measure_start(engine, PROFILE)

    assert peak_mib() > 300 > start.memory_mib
    assert start.startup_ms > 0


def test_an_engine_that_does_not_start_is_missing_evidence_and_says_why(engine: Path) -> None:
    (engine / "null.json").write_text("{}")

    with pytest.raises(EvidenceError, match=r"does not start in a process of its own: .*not the file"):
        measure_start(engine, PROFILE)


def test_peak_is_read_in_mib(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n")

    assert peak_mib(tmp_path / "status") == 2.0
