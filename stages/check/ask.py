"""Asking a runtime, in a child process, whether it takes models."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import stages
from targets.errors import EvidenceError

_ROOT = Path(stages.__file__).parent.parent  # `-m` looks for our packages in the current folder first
_EXTRAS = {"openvino": "cpu", "onnxruntime": "onnx"}


def ask(
    runtime: Literal["openvino", "onnxruntime"], models: Sequence[bytes], *, timeout_s: float
) -> list[str]:
    """Give the runtime's complaint about each model; "" where it takes the model.

    A model at which the runtime crashes, or that it does not finish, costs that model's answer and no other.

    Args:
        runtime: Who is asked.
        models: ONNX files, external data included.
        timeout_s: How long one child may take, for all models that it is given.

    Raises:
        EvidenceError: The runtime is not installed.
    """
    if importlib.util.find_spec(runtime) is None:
        raise EvidenceError(
            f"{runtime} is not installed here, so it cannot be asked.",
            hint=f"pip install 'edgebound[{_EXTRAS[runtime]}]'",
        )
    answers: list[str] = []
    while len(answers) < len(models):
        given, death = _ask_child(runtime, models[len(answers) :], timeout_s)
        answers += given
        if len(answers) < len(models):
            answers.append(death)
    return answers


def _ask_child(runtime: str, models: Sequence[bytes], timeout_s: float) -> tuple[list[str], str]:
    """Give the answers of one child, and what happened to it if they are not all."""
    from stages.check import probe

    with tempfile.TemporaryFile() as stdin:  # one more copy of large models in memory would be one too many
        for model in models:
            stdin.write(len(model).to_bytes(8, "little"))
            stdin.write(model)
        stdin.seek(0)
        try:
            done = subprocess.run(
                [sys.executable, "-m", probe.__name__, runtime],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=timeout_s,
                cwd=_ROOT,
                check=False,
            )
        except subprocess.TimeoutExpired as exc:
            return _answers(exc.stdout), f"it did not finish within {timeout_s:g} s."
    return _answers(done.stdout), f"it crashed ({_manner(done.returncode)})."


def _answers(stdout: bytes | None) -> list[str]:
    """Read the lines that are complete."""
    return [json.loads(line) for line in (stdout or b"").split(b"\n")[:-1]]


def _manner(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
