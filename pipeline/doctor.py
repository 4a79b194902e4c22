"""`pipeline doctor`: what this machine has, what it lacks, and how to get it."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from targets.host import describe_host

_GIB = 2**30
# Distribution, the extra it comes with, what it is for.
_PACKAGES = (
    ("onnx", "onnx", "models"),
    ("onnxruntime", "onnx", "float simulation, calibration, target cpu-ort"),
    ("onnxslim", "onnx", "export"),
    ("openvino", "cpu", "target cpu"),
    ("torch", "train", "training, export"),
    ("ultralytics", "train", "training, export"),
    ("faster-coco-eval", "train", "mAP"),
    ("safetensors", "train", "checkpoints"),
    ("cryptography", "sign", "signing releases"),
)


@dataclass(frozen=True, kw_only=True)
class Examined:
    """One thing that was looked at.

    Attributes:
        required: Without it `pipeline run --target cpu` does not work.
    """

    what: str
    found: str
    ok: bool
    required: bool
    hint: str = ""


def examine(root: Path) -> list[Examined]:
    """Look at this machine and at the folder `root`."""
    return [*_machine(), *_packages(), _opencv(), _cuda(), *_folder(root)]


def _machine() -> Iterator[Examined]:
    host = asdict(describe_host())
    yield Examined(what="Python", found=platform.python_version(), ok=True, required=True)
    for name in ("cpu", "cores"):
        yield Examined(what=name, found=str(host[name]), ok=True, required=True)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB
    yield Examined(
        what="memory",
        found=f"{memory:.1f} GiB",
        ok=memory >= 4,
        required=False,
        hint="Training wants 4 GiB and more; a smaller train.batch needs less.",
    )


def _packages() -> Iterator[Examined]:
    for name, extra, purpose in _PACKAGES:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            version = ""
        yield Examined(
            what=f"{name} ({purpose})",
            found=version or "not installed",
            ok=bool(version),
            required=extra != "sign",
            hint=f"pip install 'edgebound[{extra}]'",
        )


def _opencv() -> Examined:
    try:
        version = importlib.import_module("cv2").__version__
    except ImportError as exc:
        hint = "apt-get install libgl1 libglib2.0-0"
        return Examined(what="OpenCV loads", found=str(exc), ok=False, required=True, hint=hint)
    return Examined(what="OpenCV loads", found=version, ok=True, required=True)


def _cuda() -> Examined:
    driver = Path("/proc/driver/nvidia/version")
    found = driver.read_text().splitlines()[0] if driver.exists() else "no NVIDIA driver"
    return Examined(
        what="GPU",
        found=found,
        ok=driver.exists(),
        required=False,
        hint="Training runs on the CPU, without AMP.",
    )


def _folder(root: Path) -> Iterator[Examined]:
    free = shutil.disk_usage(root).free / _GIB
    yield Examined(
        what="disk",
        found=f"{free:.1f} GiB free",
        ok=free >= 2,
        required=False,
        hint="`pipeline store gc` frees what no run needs.",
    )
    yield Examined(
        what="folder",
        found=str(root.resolve()),
        ok=os.access(root, os.W_OK),
        required=True,
        hint="Run in a folder that you may write to, or name one with --root.",
    )
