"""JetPack releases and what they bring, and the Q/DQ dialect of each TensorRT version."""

import json
import pkgutil
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Dict, Mapping, Optional, Tuple

from targets.profile import Dialect


@dataclass(frozen=True)
class JetPack:
    """One JetPack release. What is empty is not known.

    Attributes:
        release: As `6.2.1`.
        l4t: Releases of Jetson Linux that it is known by, oldest first.
        tensorrt: Version of TensorRT.
        bundled: TensorRT comes with it; otherwise NVIDIA supports that version there.
        cuda: Version of CUDA.
        cudnn: Version of cuDNN.
        ubuntu: Version of its Ubuntu.
        python: The system's Python.
        dla: TensorRT can use deep learning accelerators, on modules that have them.
        modules: Families of modules that it runs on, as `module` of a profile names them.
        source: Where this comes from.
    """

    release: str
    l4t: Tuple[str, ...]
    tensorrt: str
    bundled: bool
    cuda: str
    cudnn: str
    ubuntu: str
    python: str
    dla: bool
    modules: Tuple[str, ...]
    source: str


@lru_cache(maxsize=None)
def load_jetpacks(module: str = "") -> Mapping[str, JetPack]:
    """Give the known JetPack releases, oldest first; of one family of modules, or all."""
    found = [
        JetPack(**dict(row, l4t=tuple(row["l4t"]), modules=tuple(row["modules"])))
        for row in _load()["jetpacks"]
    ]
    return {one.release: one for one in found if not module or module in one.modules}


def find_dialect(tensorrt: str) -> "Optional[Tuple[Dialect, str]]":
    """Give the dialect of a TensorRT version and its source; None before 8.5, or for what is no version."""
    for row in reversed(_load()["tensorrt_dialects"]):
        if number(row["since"]) <= number(tensorrt):
            return Dialect(**row["dialect"]), row["source"]
    return None


def number(version: str) -> Tuple[int, ...]:
    """Give a version as figures that can be compared; nothing for what is no version."""
    parts = version.split(".")
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else ()


@lru_cache(maxsize=None)
def _load() -> Dict[str, Any]:
    data = pkgutil.get_data(__name__, "platforms.json")
    assert data is not None, "the package is incomplete"
    record: Dict[str, Any] = json.loads(data)
    return record
