"""Kits for boards that are this machine: over a real sshd on loopback, with the real agent."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import yaml
from onnx import numpy_helper, parser

from pipeline.remote import Brought, carry_out
from pipeline.remote.persist import Patience
from pipeline.runner import Done
from targets.agent.archive import make_agent
from targets.agent.lock import holder
from targets.kit import BoardWork, KitModel, open_kit, write_kit, write_seal
from targets.model import InputSpec, ModelSpec
from targets.profile import TargetProfile
from targets.receipt import Receipt, open_receipt
from tests.board_fixture.sshd import Sshd, Wire, wait_for

KEY = "5a" * 32
SIDE, ANCHORS = 32, 21
WORK = BoardWork(runs=20, seconds=2.0, warmup_runs=5, warmup_s=0.05)
HASTE = Patience(first_s=0.05, longest_s=0.2, give_up_s=5)


@dataclass
class Heard:
    """A reporter that remembers, and does something when a moment comes."""

    lines: list[str] = field(default_factory=list)
    moments: list[tuple[str, Callable[[], None]]] = field(default_factory=list)

    def started(self, title: str) -> None:
        self._hear(f"started {title}")

    def progress(self, done: float, total: float, note: str = "") -> None:
        self._hear(f"progress {note}")

    def finished(self, done: Done) -> None:
        self._hear(f"finished {done.title}")

    def note(self, text: str) -> None:
        self._hear(text)

    def at(self, words: str, act: Callable[[], None]) -> None:
        """Do something, once, when a line with these words is heard."""
        self.moments.append((words, act))

    def _hear(self, line: str) -> None:
        self.lines.append(line)
        for moment in [one for one in self.moments if one[0] in line]:
            self.moments.remove(moment)
            moment[1]()


@dataclass
class Yard:
    """Boards, and kits for them."""

    folder: Path
    sshd: Sshd
    wire: Wire
    devices: list[dict[str, object]] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    heard: Heard = field(default_factory=Heard)

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def device(self, name: str = "board-1", **more: object) -> None:
        """Describe a device behind the wire in `devices.yaml`."""
        port = more.get("port", self.wire.port)
        given: dict[str, object] = {
            "name": name,
            "host": "127.0.0.1",
            "port": port,
            "targets": ["here"],
            "identity_file": str(self.sshd.key),
            "known_hosts": str(self.sshd.known_hosts(int(str(port)))),
            "python": str(self.python()),
            "state": str(self.state),
            **more,
        }
        self.devices.append(given)

    def python(self) -> Path:
        """Write what the board calls its Python."""
        path = self.folder / "python"
        exports = "".join(f"export {name}='{value}'\n" for name, value in self.environment.items())
        path.write_text(f'#!/bin/sh\n{exports}exec {sys.executable} "$@"\n')
        path.chmod(0o755)
        return path

    def kit(
        self, name: str = "kit", runtime: str = "null", models: int = 1, side: int = 64, **more: object
    ) -> Path:
        """Write a sealed kit; the null runtime is the quickest. Six pictures of noise, of 3 · side² bytes."""
        model = self._model()
        pictures = []
        for place in range(6):
            path = self.folder / f"picture{side}-{place}.png"
            pixels = np.random.default_rng(place).integers(0, 255, (side, side, 3), np.uint8)
            cv2.imwrite(str(path), pixels)
            pictures.append((f"{place:06d}.png", path))
        arguments = {
            "target": "here",
            "profile": TargetProfile(name="here", device="this machine", runtime=runtime, threads=1),
            "models": [(KitModel("fp32", "fp32"), model), (KitModel("int8", "int8"), model)][:models],
            "pictures": pictures,
            "work": WORK,
            "agent": make_agent(),
        }
        folder = self.folder / name
        kit_id = write_kit(folder, **{**arguments, **more})
        write_seal(folder, kit_id, KEY)
        return folder

    def carry(self, kit: Path, *, heard: Heard | None = None, patience: Patience = HASTE) -> Brought:
        """Carry a kit out."""
        devices_file = self.folder / "devices.yaml"
        devices_file.write_text(yaml.safe_dump({"devices": self.devices}))
        opened, kit_id = open_kit(kit)
        return carry_out(
            kit,
            kit_id=kit_id,
            target=opened.target,
            profile=opened.profile,
            devices_file=devices_file,
            max_age_h=24,
            workdir=self.folder / "work" / kit.name,
            reporter=heard or self.heard,
            patience=patience,
        )

    def receipt(self, kit: Path, brought: Brought) -> Receipt:
        """Check what came back, as the host does."""
        assert brought.receipt, brought.why
        opened, kit_id = open_kit(kit)
        return open_receipt(brought.receipt, kit=opened, kit_id=kit_id, key=KEY)

    def jobs(self) -> list[Path]:
        return sorted(self.state.glob("kits/*/job"))

    def agent_pid(self) -> int:
        """Give the agent at work, once there is one."""
        pids: list[int] = []

        def found() -> bool:
            pids[:] = [int(note["pid"]) for job in self.jobs() if (note := holder(job / "lock"))]
            return bool(pids)

        wait_for(found)
        return pids[0]

    def kill_agent(self) -> None:
        os.kill(self.agent_pid(), signal.SIGKILL)

    def _model(self) -> Path:
        folder = self.folder / "model"
        if folder.exists():
            return folder
        folder.mkdir()
        model = parser.parse_model(
            f"""<ir_version: 8, opset_import: ["": 17]>
            detector (float[1, 3, {SIDE}, {SIDE}] images) => (float[1, 7, {ANCHORS}] output0) {{
                flat = Flatten (images)
                projected = MatMul (flat, weights)
                output0 = Reshape (projected, shape)
            }}"""
        )
        weights = np.random.default_rng(0).normal(size=(3 * SIDE * SIDE, 7 * ANCHORS)).astype(np.float32)
        shape = np.array([1, 7, ANCHORS])
        model.graph.initializer.extend(
            [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(shape, "shape")]
        )
        onnx.save(model, folder / "model.onnx")
        spec = ModelSpec(family="toy", class_names=("a", "b", "c"), input=InputSpec(SIDE, SIDE))
        spec.save(folder)
        return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a disk of its own with room for little."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a disk to fill wants root and the right to mount: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    server = Sshd(tmp_path_factory.mktemp("sshd"))
    yield server
    server.close()


@pytest.fixture
def yard(tmp_path: Path, sshd: Sshd) -> Iterator[Yard]:
    """Give a yard without devices."""
    wire = Wire(sshd.port)
    found = Yard(tmp_path, sshd, wire)
    yield found
    wire.close()
    sshd.kill_sessions()
    for job in found.jobs():
        note = holder(job / "lock") or {}
        if "pid" in note:
            os.kill(int(note["pid"]), signal.SIGKILL)


def slow_measurement(*, runs: int = 10_000_000) -> BoardWork:
    """Give work that takes a second."""
    return BoardWork(runs=runs, seconds=1.0, warmup_runs=5, warmup_s=0.05)


def in_background(act: Callable[[], None]) -> threading.Thread:
    """Run something beside the test."""
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    return thread
