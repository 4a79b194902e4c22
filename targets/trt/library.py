"""The TensorRT that is installed here: its version, and what it has."""

from dataclasses import dataclass
from typing import Any, Dict

from targets.errors import EvidenceError
from targets.platforms import number

# Strongly typed networks exist from 10.0 on; NVIDIA calls them fully available from 10.12 on, and warns of
# moving older versions (NVIDIA/TensorRT v11.1, skill trt-strong-typing-migration). Until then: flags.
_STRONG_SINCE = (10, 12)
_DLA_UNTIL = (10, 7)  # "TensorRT 10.7 was the last 10.x release that supported DLA" (documentation of 11.4.1)
_DLA_AGAIN = (11, 4, 1)


@dataclass(frozen=True)
class Features:
    """What the installed version can do.

    Attributes:
        strongly_typed: Networks take the types of the graph, and no flags; the only way from 11 on.
        explicit_batch: It has to be asked for a batch dimension (8.x).
        optimization_level: Its builder has one (from 8.6 on).
        monitor: Its builder tells how it goes on (from 10.0 on).
        dla: It can build for deep learning accelerators, if the device has any.
        dla_qdq: They take Q/DQ; before 11.4.1 they take INT8 only by calibration.
    """

    strongly_typed: bool
    explicit_batch: bool
    optimization_level: bool
    monitor: bool
    dla: bool
    dla_qdq: bool


def load() -> Any:
    """Give the package `tensorrt`.

    Raises:
        EvidenceError: It is not installed, or its libraries do not load.
    """
    try:
        import tensorrt
    except (ImportError, OSError) as exc:
        raise EvidenceError(
            f"TensorRT cannot be loaded here: {exc}",
            hint="On a Jetson: apt-get install python3-libnvinfer; elsewhere: pip install tensorrt.",
        ) from exc
    return tensorrt


def version() -> str:
    """Give the version of the TensorRT that is installed.

    Raises:
        EvidenceError: None is.
    """
    return str(load().__version__)


def simulated() -> bool:
    """Say whether what answers is a stand-in, which says so of itself.

    Raises:
        EvidenceError: TensorRT is not installed.
    """
    return bool(getattr(load(), "SIMULATED", False))


def features() -> Features:
    """Look at what the installed version has.

    Raises:
        EvidenceError: None is installed.
    """
    trt = load()
    here = number(_figures(str(trt.__version__)))
    return Features(
        strongly_typed=hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED") and here >= _STRONG_SINCE,
        explicit_batch=hasattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH") and here < (10,),
        optimization_level=hasattr(trt.IBuilderConfig, "builder_optimization_level"),
        monitor=hasattr(trt.IBuilderConfig, "progress_monitor"),
        dla=here[:2] <= _DLA_UNTIL or here >= _DLA_AGAIN,
        dla_qdq=here >= _DLA_AGAIN,
    )


def facts() -> Dict[str, str]:
    """Give what an engine depends on beside TensorRT's version.

    Raises:
        EvidenceError: There is no TensorRT, no CUDA, or no GPU.
    """
    from targets.cuda_access import find_cuda

    load()
    cuda = find_cuda()
    gpu = cuda.gpu()
    return {"sm": gpu.sm, "gpu": gpu.name, "cuda": cuda.runtime_version()}


def _figures(text: str) -> str:
    """Give the leading figures of a version, `10.3.0` of `10.3.0rc1`."""
    kept = []
    for part in text.split("."):
        if not part.isdigit():
            break
        kept.append(part)
    return ".".join(kept)
