"""Utilisation: how much of the time a GPU had work, as NVIDIA's management library (NVML) says."""

from __future__ import annotations

import ctypes
import time
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

LIBRARY = "libnvidia-ml.so.1"  # comes with the driver
EVERY_S = 1.0  # NVML looks back over a sixth of a second to a second itself, by the card


class _Rates(ctypes.Structure):
    """nvmlUtilization_t: percent of the last sample period."""

    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class Nvml:
    """One GPU, through NVML."""

    def __init__(self, library: ctypes.CDLL, handle: ctypes.c_void_p) -> None:
        self._library, self._handle = library, handle

    @classmethod
    def of(cls, uuid: str, library: str = LIBRARY) -> Nvml | None:
        """Find the GPU with a UUID, as `GPU-…`; None where there is no NVML, or no such GPU in it.

        By UUID, because NVML does not heed CUDA_VISIBLE_DEVICES and numbers GPUs otherwise.
        """
        try:
            loaded = ctypes.CDLL(library)
            start, find = loaded.nvmlInit_v2, loaded.nvmlDeviceGetHandleByUUID
        except (OSError, AttributeError):
            return None
        handle = ctypes.c_void_p()
        if start() != 0 or find(uuid.encode(), ctypes.byref(handle)) != 0:
            return None
        return cls(loaded, handle)

    def busy(self) -> float | None:
        """Give the part of the last sample period in which a kernel ran, 0 to 1; None if not told."""
        rates = _Rates()
        if self._library.nvmlDeviceGetUtilizationRates(self._handle, ctypes.byref(rates)) != 0:
            return None
        return int(rates.gpu) / 100


class Utilisation:
    """The mean of what is seen once a second while training computes.

    Attributes:
        seen: Looks that told something.
        total: Of them.
    """

    def __init__(
        self,
        gpu: Nvml | None,
        *,
        seen: int = 0,
        total: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seen, self.total = seen, total
        self._gpu, self._clock = gpu, clock
        self._next = 0.0

    def look(self) -> None:
        """Look, if a second has passed since the last time."""
        if self._gpu is None or self._clock() < self._next:
            return
        self._next = self._clock() + EVERY_S
        if (busy := self._gpu.busy()) is not None:
            self.seen, self.total = self.seen + 1, self.total + busy

    @property
    def mean(self) -> float | None:
        """Give it, 0 to 1; None if nothing was seen."""
        return self.total / self.seen if self.seen else None


def gpu_of(device: torch.device) -> Nvml | None:
    """Find the GPU that a rank trains on; None on a CPU."""
    if device.type != "cuda":
        return None
    uuid = getattr(torch.cuda.get_device_properties(device), "uuid", None)  # since PyTorch 2.4
    return Nvml.of(f"GPU-{uuid}") if uuid else None
