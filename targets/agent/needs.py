"""What a board needs for the agent's work, what of it is missing, and how to install it."""

import importlib
from dataclasses import dataclass
from typing import Iterator, Optional, Tuple

from targets.board.identity import Identity
from targets.errors import EvidenceError
from targets.platforms import JetPack, load_jetpacks
from targets.profile import RuntimeName, TargetProfile
from targets.runtimes import find_runtime

RUNTIMES: Tuple[RuntimeName, ...] = ("tensorrt", "onnxruntime", "openvino")
_PYTHON = "python3 -m pip install"
_PACKAGES = {  # module: Debian and Ubuntu package, what pip calls it, what it is for
    "numpy": ("python3-numpy", "numpy", "pictures and detections are arrays"),
    "cv2": ("python3-opencv", "opencv-python-headless", "pictures are read with OpenCV"),
}


@dataclass(frozen=True)
class Missing:
    """Something that is not here.

    Attributes:
        what: The thing.
        why: What it is needed for.
        hint: How to install it.
    """

    what: str
    why: str
    hint: str


def missing(profile: Optional[TargetProfile], identity: Identity) -> Tuple[Missing, ...]:
    """Say what is missing here.

    Args:
        profile: Of the kit; None to look whether any runtime is here, and TensorRT on a Jetson.
        identity: Of this board.
    """
    found = [one for module in _PACKAGES for one in _missing_module(module, identity)]
    if profile:
        found.extend(_missing_runtime(profile.runtime, identity))
    elif identity.module or not any(runtime_version(name) for name in RUNTIMES):
        found.extend(_missing_runtime("tensorrt", identity))
    return tuple(found)


def runtime_version(name: RuntimeName) -> Optional[str]:
    """Give the version of a runtime; None if it is not here."""
    try:
        return find_runtime(name).version()
    except EvidenceError:
        return None


def _missing_module(name: str, identity: Identity) -> Iterator[Missing]:
    package, pip_name, why = _PACKAGES[name]
    try:
        importlib.import_module(name)
    except ImportError as exc:
        broken = "" if isinstance(exc, ModuleNotFoundError) else f" ({exc})"
        hint = f"sudo apt-get install {package}"
        if not identity.module:
            hint += f", or {_PYTHON} {pip_name}"
        yield Missing(f"Python module {name}{broken}", why, hint)


def _missing_runtime(name: RuntimeName, identity: Identity) -> Iterator[Missing]:
    try:
        find_runtime(name).version()
    except EvidenceError as exc:
        hint = _tensorrt_hint(identity) if name == "tensorrt" else f"{_PYTHON} {name}"
        yield Missing(exc.what.rstrip("."), "engines are built and run with it", hint)
        return
    if name == "tensorrt":
        yield from _missing_cuda(identity)


def _missing_cuda(identity: Identity) -> Iterator[Missing]:
    from targets.cuda_access import find_cuda

    try:
        find_cuda().gpu()
    except EvidenceError as exc:
        release = _jetpack(identity)
        cuda = release.cuda.replace(".", "-") if release else ""
        hint = f"sudo apt-get install cuda-cudart-{cuda}" if cuda else exc.hint
        yield Missing(exc.what.rstrip("."), "engines run on the GPU", hint)


def _tensorrt_hint(identity: Identity) -> str:
    """Say how to install TensorRT's Python bindings: on a Jetson from NVIDIA's apt repository."""
    if not identity.module:
        return f"{_PYTHON} tensorrt"
    release = _jetpack(identity)
    hint = "sudo apt-get update && sudo apt-get install python3-libnvinfer"
    if release and not release.bundled:
        return (
            f"install TensorRT {release.tensorrt} as NVIDIA says for JetPack {release.release}, with {hint}"
        )
    return hint


def _jetpack(identity: Identity) -> Optional[JetPack]:
    return load_jetpacks().get(identity.jetpack)
