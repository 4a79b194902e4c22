"""Whole runs of the command line on small rendered data."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SMALL = {"demo.train": 800, "demo.val": 150, "train.epochs": 8, "train.imgsz": 96, "verify.runs": 40}
TINY = {"demo.train": 32, "demo.val": 16, "train.epochs": 2, "train.imgsz": 64, "verify.runs": 20}


@dataclass(frozen=True)
class Outcome:
    code: int
    document: dict[str, Any]
    said: str

    @property
    def ladder(self) -> list[dict[str, Any]]:
        return self.document["targets"]["cpu"]["ladder"]

    @property
    def reasons(self) -> str:
        return "\n".join(self.document["reasons"])

    @property
    def worked(self) -> list[str]:
        """The steps that were not cached."""
        return [step["label"] for step in self.document["steps"] if not step["cached"]]


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "pipeline", *args]


def options(settings: dict[str, object]) -> list[str]:
    return [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]


def start(folder: Path, *args: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    return subprocess.Popen(
        command(*args),
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_hear_ctrl_c,  # noqa: PLW1509  (no threads here)
    )


def _hear_ctrl_c() -> None:
    """Undo what a shell does to the jobs that it starts in the background, the test run itself perhaps."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def outcome(process: subprocess.Popen[str]) -> Outcome:
    out, err = process.communicate(timeout=900)
    lines = out.splitlines()
    return Outcome(process.returncode, json.loads(lines[-1]) if lines else {}, err)


def run(folder: Path, settings: dict[str, object], *args: str) -> Outcome:
    """Run the demo with `settings` in `folder`, and read what it printed last."""
    return outcome(start(folder, "run", "--demo", "--json", *options(settings), *args))
