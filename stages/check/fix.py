"""Fixing: rewrites that targets need, each proven by running the model before and after it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import stages
from stages.check import rewrites
from stages.onnx_files import load_onnx
from targets.errors import ModelError
from targets.operators import OperatorTable, load_tensorrt_operators, number
from targets.profile import TargetProfile

if TYPE_CHECKING:
    from onnx import ModelProto

_ROOT = Path(stages.__file__).parent.parent  # `-m` looks for our packages in the current folder first
_REWORK_S = 120.0
_USUAL_OPSET = 17  # every TensorRT from 8.5 on reads it
Rewrite = Callable[["ModelProto"], "ModelProto | None"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One rewrite.

    Attributes:
        what: It does.
        done: It is in the file that was written.
        difference: Largest of any output, before and after, on random input; None where it was not seen.
        note: Why it was not done.
    """

    what: str
    done: bool
    difference: float | None
    note: str = ""


def fix_file(
    path: Path, profiles: Sequence[TargetProfile], out: Path, *, timeout_s: float = 120.0
) -> tuple[Step, ...]:
    """Rewrite the model so that more of the targets take it, and write it to `out` if anything was done.

    A rewrite is kept only if ONNX Runtime gives the same before and after it, on random inputs.

    Args:
        path: Of an ONNX file.
        profiles: Of the targets.
        out: File to write.
        timeout_s: How long one proof may take.

    Raises:
        ModelError: It is no ONNX model, or `out` cannot be written.
    """
    model = load_onnx(path)
    steps = []
    with tempfile.TemporaryDirectory(prefix="edgebound-fix-") as folder:
        for what, rewrite in _wanted(model, profiles):
            changed = rewrite(model)
            if changed is None and what.startswith("convert"):
                steps.append(Step(what=what, done=False, difference=None, note="ONNX has no way to"))
            if changed is None:
                continue
            step = _prove(what, model, changed, folder=Path(folder), timeout_s=timeout_s)
            steps.append(step)
            model = changed if step.done else model
    if any(step.done for step in steps):
        _write(model, out)
    return tuple(steps)


def _wanted(model: ModelProto, profiles: Sequence[TargetProfile]) -> Iterator[tuple[str, Rewrite]]:
    """Give the rewrites that some target may need, in the order in which they help each other."""
    tables = [load_tensorrt_operators(one.runtime_version) for one in profiles if one.runtime == "tensorrt"]
    yield "fold constants", partial(_rework, 0)
    opset = _opset_for(model, tables)
    if opset:
        yield f"convert to opset {opset}", partial(_rework, opset)
    if any(not _has_mod(table) for table in tables):
        yield "write Mod as arithmetic", rewrites.spell_out_mod
    if any(number(table.version) < (10, 0) for table in tables):  # INT64 becomes INT32 there
        yield "bring the ends of slices into the range of INT32", rewrites.clamp_constants
        yield "give indices as INT32 outputs", rewrites.narrow_outputs


def _opset_for(model: ModelProto, tables: Sequence[OperatorTable]) -> int:
    """Give the operator set that suits all tables; 0 where the model's own does, or none is asked for."""
    present = max((one.version for one in model.opset_import if one.domain in {"", "ai.onnx"}), default=0)
    most = min((table.opset_max for table in tables), default=present)
    least = max((table.opset_min for table in tables), default=present)
    if least <= present <= most or most == 0:
        return 0
    return most if present > most else min(most, _USUAL_OPSET)


def _has_mod(table: OperatorTable) -> bool:
    support = table.operators.get("Mod")
    return support is not None and support.level != "none" and support.documented


def _prove(what: str, before: ModelProto, after: ModelProto, *, folder: Path, timeout_s: float) -> Step:
    files = [folder / "before.onnx", folder / "after.onnx"]
    for file, model in zip(files, (before, after), strict=True):
        file.write_bytes(model.SerializeToString())
    command = [sys.executable, "-m", "stages.check.prove", *map(str, files)]
    try:
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        return Step(what=what, done=False, difference=None, note=f"no proof within {timeout_s:g} s")
    if done.returncode != 0 or not done.stdout:
        return Step(what=what, done=False, difference=None, note="ONNX Runtime crashed over it")
    answer = json.loads(done.stdout.splitlines()[-1])
    if "problem" in answer:
        return Step(what=what, done=False, difference=None, note=f"no proof: {answer['problem']}")
    note = "" if answer["equal"] else "the model would answer differently"
    return Step(what=what, done=answer["equal"], difference=answer["difference"], note=note)


def _rework(opset: int, model: ModelProto) -> ModelProto | None:
    """Let a library rewrite the model, in a child; None where it did not, or could not."""
    with tempfile.TemporaryDirectory(prefix="edgebound-fix-") as name:
        source, out = Path(name) / "in.onnx", Path(name) / "out.onnx"
        source.write_bytes(model.SerializeToString())
        command = [sys.executable, "-m", "stages.check.rework", str(opset), str(source), str(out)]
        try:
            done = subprocess.run(command, cwd=_ROOT, capture_output=True, timeout=_REWORK_S, check=False)
        except subprocess.TimeoutExpired:
            return None
        return load_onnx(out) if done.returncode == 0 and out.exists() else None


def _write(model: ModelProto, out: Path) -> None:
    temporary = out.with_name(f".{out.name}.tmp")
    try:
        temporary.write_bytes(model.SerializeToString())
        temporary.replace(out)
    except OSError as exc:
        raise ModelError(
            f"{out} cannot be written: {exc.strerror}.", hint="Name a file in a folder that is there."
        ) from exc
