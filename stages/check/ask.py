"""Asking a library, in a child process, what it says of models: it may crash there, or not end."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Literal

import stages
from targets.errors import EvidenceError

_ROOT = Path(stages.__file__).parent.parent  # `-m` looks for our packages in the current folder first
_EXTRAS = {"openvino": "cpu", "onnxruntime": "onnx", "onnx": "onnx"}


def ask(
    library: Literal["openvino", "onnxruntime", "onnx"], folder: Path, count: int, *, timeout_s: float
) -> list[str]:
    """Give the library's complaint about each model; "" where it takes the model.

    A model at which the library crashes, or that it does not finish, costs that model's answer and no other.

    Args:
        library: Who is asked; `onnx` infers shapes, and writes what it finds as `0.inferred` and so on.
        folder: Where the models lie, as `0.onnx`, `1.onnx` and so on.
        count: How many they are.
        timeout_s: How long the library may look at one model.

    Raises:
        EvidenceError: The library is not installed.
    """
    if importlib.util.find_spec(library) is None:
        raise EvidenceError(
            f"{library} is not installed here, so it cannot be asked.",
            hint=f"pip install 'edgebound[{_EXTRAS[library]}]'",
        )
    answers: list[str] = []
    while len(answers) < count:
        given, code = _ask_child(library, folder, len(answers), timeout_s)
        answers += given
        if len(answers) < count:
            answers.append(_death(code, timeout_s))
    return answers


def _ask_child(library: str, folder: Path, first: int, timeout_s: float) -> tuple[list[str], int]:
    """Give the answers of one child, from the model `first` on, and its exit code."""
    from stages.check import probe

    done = subprocess.run(
        [sys.executable, "-m", probe.__name__, library, str(folder.resolve()), str(first), str(timeout_s)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=_ROOT,
        check=False,
    )
    complete = done.stdout.split(b"\n")[:-1]
    return [json.loads(line) for line in complete], done.returncode


def _death(code: int, timeout_s: float) -> str:
    if code == -signal.SIGALRM:
        return f"it did not finish within {timeout_s:g} s."
    manner = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"it crashed ({manner})."
