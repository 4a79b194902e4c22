"""What differs between runtimes on a board, beyond their common contract: building, facts, other timings."""

import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Dict, Iterator, Optional, Sequence, Tuple

from targets.kit import BoardWork
from targets.latency import Timing
from targets.profile import TargetProfile
from targets.receipt import BuildFacts
from targets.runtimes import find_runtime

if TYPE_CHECKING:
    from targets.runtime import Images, Infer

PLAN_NAME = "engine.plan"
Progress = Callable[[float, float, str], None]


def facts_of(profile: TargetProfile) -> Dict[str, str]:
    """Give what an engine depends on beside the runtime's version: `sm`, `gpu`, `cuda` … .

    Raises:
        EvidenceError: The runtime's machine is not here.
    """
    return find_runtime(profile.runtime).facts()


def is_simulated(profile: TargetProfile) -> bool:
    """Say whether a stand-in answers for the runtime."""
    if profile.runtime == "tensorrt":
        from targets.trt.library import simulated

        return simulated()
    return False


def build_engine(
    model: Path, profile: TargetProfile, out: Path, work: BoardWork, *, cache: Path, progress: Progress
) -> BuildFacts:
    """Build `out/engine` from an ONNX file; what the builder said goes beside it.

    Args:
        model: The ONNX file.
        profile: Of the target.
        out: Has the folder `engine`, empty but for `model.json`.
        work: How it is to be built.
        cache: Folder of timing caches.
        progress: Told how it goes on.

    Raises:
        UnsupportedError: The runtime cannot run this model.
        EvidenceError: The runtime is not here.
    """
    if profile.runtime == "tensorrt":
        from targets.trt.build import build

        return build(model, profile, out / "engine", work, cache=cache, logs=out, progress=progress)
    begin = time.perf_counter()
    find_runtime(profile.runtime).build(model, profile, out / "engine")
    return BuildFacts(seconds=(time.perf_counter() - begin,))


@contextmanager
def open_infer(engine: Path, profile: TargetProfile) -> "Iterator[Tuple[Infer, bool]]":
    """Load an engine as it ships; gives what to call, and whether that launches a CUDA graph."""
    with find_runtime(profile.runtime).open(engine, profile) as infer:
        yield infer, bool(getattr(infer, "graph", False))


def more_timings(
    engine: Path,
    profile: TargetProfile,
    images: "Sequence[Images]",
    work: BoardWork,
    *,
    progress: Progress,
) -> Tuple[Timing, ...]:
    """Time an engine in the other modes that its runtime has."""
    if profile.runtime == "tensorrt":
        from targets.trt.timings import time_engine

        return tuple(time_engine(engine / PLAN_NAME, images, work, progress=progress))
    return ()


def free_device_bytes(profile: TargetProfile) -> Optional[int]:
    """Give the free memory that GPU and CPU share; None where they share none."""
    if profile.runtime != "tensorrt":
        return None
    from targets.cuda_access import find_cuda

    cuda = find_cuda()
    return cuda.free_bytes() if cuda.gpu().integrated else None
