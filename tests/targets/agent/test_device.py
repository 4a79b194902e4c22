"""The agent as the one file that a board needs: it pulls, verifies and detects."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from targets.agent.archive import make_agent
from targets.registry.layout_folder import LayoutFolder
from tests.targets.release.releases import KEY, Recipe, make_engine, publish, some_facts, write_policy

Agent = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Give a folder with a release, a trust policy, and the agent."""
    (tmp_path / "scratch").mkdir()
    engine = make_engine(tmp_path / "lamp" / "engine")
    publish(LayoutFolder(tmp_path / "layout"), tmp_path / "scratch", Recipe(engine, some_facts()))
    write_policy(tmp_path / "trust.json", KEY.policy())
    (tmp_path / "agent.pyz").write_bytes(make_agent())
    return tmp_path


def agent(place: Path, *arguments: str, python: str = sys.executable) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": os.environ["PATH"], "EDGEBOUND_TRUST": "trust.json"}
    return subprocess.run(
        [python, "agent.pyz", *arguments], cwd=place, env=environment, capture_output=True, text=True
    )


def test_a_board_pulls_verifies_and_detects_with_one_file(place: Path) -> None:
    pulled = agent(place, "pull", "oci:layout:stable", "-o", "device", "--json")
    again = agent(place, "pull", "oci:layout:stable", "-o", "device")
    verified = agent(place, "verify", "device", "--seconds", "0.3", "--json")
    pictures = "device/current/proof/pictures"
    seen = agent(place, "detect", "device", "--source", pictures, "--json", "--save", "seen")

    assert pulled.returncode == 0, pulled.stderr
    assert json.loads(pulled.stdout)["facts"]["name"] == "lamps"
    assert "was current already" in again.stderr
    assert verified.returncode == 0, verified.stderr
    assert json.loads(verified.stdout)["verdict"] == "pass"
    lines = [json.loads(line) for line in seen.stdout.splitlines()]
    assert (len(lines), lines[-1]["frames"], lines[-1]["detections"]) == (3, 2, 1), seen.stderr
    assert {path.name for path in (place / "seen").iterdir()} == {"bright.png", "dark.png"}


def test_errors_are_told_with_their_codes(place: Path) -> None:
    assert agent(place, "pull", "oci:layout:stable", "-o", "device", "--for", "orin").returncode == 2
    assert agent(place, "pull", "-o", "device").returncode == 2
    assert agent(place, "verify", "device").returncode == 2
    assert agent(place, "pull", "oci:layout:stable", "-o", "device").returncode == 0
    back = agent(place, "pull", "--previous", "-o", "device")
    assert (back.returncode, "no previous release" in back.stderr) == (2, True)
    (place / "device/current/LICENSE").write_text("changed")
    verified = agent(place, "verify", "device")
    assert (verified.returncode, "✗ files" in verified.stderr) == (1, True)


def test_a_board_without_numpy_still_pulls(place: Path) -> None:
    """A pull needs Python 3.8 and nothing else; here `-S` hides what is installed."""
    done = subprocess.run(
        [sys.executable, "-S", "agent.pyz", "pull", "oci:layout:stable", "-o", "device", "--for", "cpu-ort"],
        cwd=place,
        env={"PATH": os.environ["PATH"], "EDGEBOUND_TRUST": "trust.json"},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert "does not run here: ONNX Runtime" in done.stderr
