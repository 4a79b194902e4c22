"""Kits with real models and pictures, and the real `agent.pyz` as a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest

from targets.agent.archive import make_agent
from targets.agent.lock import holder
from targets.kit import BoardWork, KitModel, open_kit, write_kit, write_seal
from targets.profile import RuntimeName, TargetProfile
from targets.receipt import Receipt, open_receipt

KEY = "5a" * 32
WORK = BoardWork(runs=20, seconds=2.0, warmup_runs=5, warmup_s=0.05)


@dataclass
class Board:
    """A kit on a board, which is this machine."""

    kit: Path
    state: Path
    env: dict[str, str] = field(default_factory=dict)
    python: tuple[str, ...] = (sys.executable,)

    @property
    def job(self) -> Path:
        return self.kit / "job"

    def command(self, *arguments: str) -> list[str]:
        return [*self.python, str(self.kit / "agent.pyz"), *arguments, "--state", str(self.state)]

    def agent(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), capture_output=True, text=True, env={**os.environ, **self.env}
        )

    def start(self, *arguments: str) -> int:
        done = self.agent("start", *arguments)
        assert done.returncode == 0, done.stderr
        return int(json.loads(done.stdout)["pid"])

    def events(self) -> list[dict[str, object]]:
        path = self.job / "events.jsonl"
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith(b"\n")]

    def wait_for(self, seen: Callable[[dict[str, object]], bool]) -> None:
        for _ in range(3000):
            if any(map(seen, self.events())):
                return
            time.sleep(0.01)
        raise AssertionError((self.job / "log").read_text())

    def wait_until_left(self) -> None:
        for _ in range(3000):
            if holder(self.job / "lock") is None:
                return
            time.sleep(0.01)
        raise AssertionError("somebody still works")

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        self.wait_until_left()

    def built(self) -> list[object]:
        """Give which engines were built, in order, as often as it happened."""
        return [one["id"] for one in self.events() if one.get("text") == "built"]

    def receipt(self) -> Receipt:
        kit, kit_id = open_kit(self.kit)
        return open_receipt(self.job / "receipt", kit=kit, kit_id=kit_id, key=KEY)


@pytest.fixture
def pictures(tmp_path: Path) -> list[tuple[str, Path]]:
    found = []
    for place in range(12):
        path = tmp_path / f"picture{place}.png"
        pixels = np.random.default_rng(place).integers(0, 255, (40, 50 + place, 3), np.uint8)
        cv2.imwrite(str(path), pixels)
        found.append((f"{place:06d}.png", path))
    return found


@pytest.fixture
def board(
    tmp_path: Path, model_folder: Path, pictures: list[tuple[str, Path]]
) -> Iterator[Callable[..., Board]]:
    """Write a sealed kit, and give the board that has it."""
    boards = []

    def give(
        runtime: RuntimeName = "onnxruntime", *, name: str = "kit", folder: Path = tmp_path, **more: object
    ) -> Board:
        arguments = {
            "target": "here",
            "profile": TargetProfile(name="here", device="this machine", runtime=runtime, threads=1),
            "models": [
                (KitModel("fp32", "fp32", "sha256:1"), model_folder),
                (KitModel("int8", "int8"), model_folder),
            ],
            "pictures": pictures,
            "work": WORK,
            "agent": make_agent(),
        }
        kit_id = write_kit(folder / name, **{**arguments, **more})
        write_seal(folder / name, kit_id, KEY)
        boards.append(Board(folder / name, tmp_path / "state"))
        return boards[-1]

    yield give
    for one in boards:
        note = holder(one.job / "lock") or {}
        if "pid" in note:
            os.kill(int(note["pid"]), signal.SIGKILL)
