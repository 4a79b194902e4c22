"""The whole story, examples/release/story.sh: real pictures, a real registry, a device without torch."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from base_install import CHECKOUT, make_device_python

from tests.registry_fixture.server import Registry

pytestmark = pytest.mark.slow
FEW = {"train.epochs": 2, "train.imgsz": 160, "verify.runs": 100}


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    server = Registry(tmp_path / "registry")
    yield server
    server.close()


def test_the_story_holds(registry: Registry, test_data: Path, tmp_path: Path) -> None:
    story = tmp_path / "story"
    settings = [part for key, value in FEW.items() for part in ("--set", f"{key}={value}")]
    done = subprocess.run(
        [
            "bash",
            str(CHECKOUT / "examples" / "release" / "story.sh"),
            f"{registry.host}/plant/pitting",
            str(test_data / "bsdata" / "data.yaml"),
            str(test_data / "weights" / "yolov8n-from-int8.pt"),
            *settings,
        ],
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(CHECKOUT),
            "STORY": str(story),
            "DEVICE_PYTHON": str(make_device_python(tmp_path / "device-python")),
            "HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("== Everything held.")
    assert (
        done.stdout.count("as it should be") == 10
    )  # five packages, a budget, an older one, a byte twice, a key
    summary = json.loads((story / "seen.jsonl").read_text().splitlines()[-1])
    assert summary["frames"] == len(list((test_data / "bsdata" / "images" / "val").iterdir()))
    overrides = json.loads((story / "second.json").read_text())["overrides"]
    assert overrides == [{"rule": "memory", "why": "a trial on one bench, with memory to spare"}]
