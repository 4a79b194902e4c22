"""Memory: how much training takes, and how many pictures at once there is room for."""

from __future__ import annotations

import gc
import math
import resource
from typing import TYPE_CHECKING, Any

import torch

from stages.train import PeakMemory
from targets.errors import EdgeboundError

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1 << 20
# The rest is for what the probe does not see: fragmentation, and workspaces of cuDNN, which tries other
# algorithms. Ultralytics fills 60 %; a batch that does not fit after all is halved while training.
FILLED = 0.85
MOST = 1024  # pictures at once; Ultralytics' own bound
_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",  # PyTorch's allocator on a CPU
    "could not create a primitive",  # oneDNN on a CPU
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether this is how PyTorch, or Python, says that memory ran out."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)


def peak_memory(device: torch.device, before: PeakMemory | None = None) -> PeakMemory:
    """Give the most that this process has held so far, or held `before` in an earlier life."""
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux tells KiB
    allocated = reserved = None
    if device.type == "cuda":
        allocated = torch.cuda.max_memory_allocated(device) / MIB
        reserved = torch.cuda.max_memory_reserved(device) / MIB
    if before is None:
        return PeakMemory(allocated_mib=allocated, reserved_mib=reserved, resident_mib=resident)
    return PeakMemory(
        allocated_mib=_larger(allocated, before.allocated_mib),
        reserved_mib=_larger(reserved, before.reserved_mib),
        resident_mib=max(resident, before.resident_mib),
    )


def _larger(one: float | None, other: float | None) -> float | None:
    return max((value for value in (one, other) if value is not None), default=None)


def free_memory() -> None:
    """Give back to the GPU what nothing holds any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def largest_batch(peak_of: Callable[[int], int | None], *, room: int, ceiling: int) -> int:
    """Find the largest batch whose training step fits, by trying small ones and a straight line through them.

    Args:
        peak_of: Runs one step of so many pictures and gives the bytes at its peak; None if they ran out.
        room: Bytes there are.
        ceiling: No more pictures than this.

    Raises:
        EdgeboundError: Not even one picture fits.
    """
    sizes, peaks = _doubled(peak_of, room=room, ceiling=ceiling)
    if not sizes:
        raise EdgeboundError(
            f"Not even one picture a batch fits into the {room / 2**30:.1f} GiB that are free.",
            hint="Set train.imgsz lower, take a smaller model, or see in `nvidia-smi` who holds memory.",
        )
    if len(sizes) == 1:
        return sizes[0]
    per_picture = max((peaks[-1] - peaks[-2]) / (sizes[-1] - sizes[-2]), 1.0)
    fits = sizes[-1] + math.floor((room * FILLED - peaks[-1]) / per_picture)
    batch = min(max(fits, sizes[-2]), ceiling)
    while batch > sizes[-1] and (peak_of(batch) or room) >= room:
        batch = max(batch * 3 // 4, sizes[-1])
    return batch


def _doubled(peak_of: Callable[[int], int | None], *, room: int, ceiling: int) -> tuple[list[int], list[int]]:
    """Double the batch while the next would still have room, as far as one can tell from the last two."""
    sizes: list[int] = []
    peaks: list[int] = []
    size = 1
    while size <= ceiling:
        peak = peak_of(size)
        if peak is None or peak >= room:
            break
        sizes.append(size)
        peaks.append(peak)
        if len(peaks) > 1 and peak + 2 * (peak - peaks[-2]) > room * FILLED:
            break
        size *= 2
    return sizes, peaks


def step_peak(step: Callable[[int], None], device: torch.device) -> Callable[[int], int | None]:
    """Give a function that runs `step` for a batch on a GPU and tells the bytes reserved at its peak."""

    def peak_of(batch: int) -> int | None:
        free_memory()
        torch.cuda.reset_peak_memory_stats(device)
        try:
            step(batch)
            torch.cuda.synchronize(device)
        except RuntimeError as exc:
            if not is_out_of_memory(exc):
                raise
            return None
        return int(torch.cuda.max_memory_reserved(device))

    return peak_of


def largest_side(imgsz: int, multi_scale: float, stride: int) -> int:
    """Give the side in pixels of the largest picture that Ultralytics' `multi_scale` makes of `imgsz`."""
    return int(imgsz * (1.0 + multi_scale) + stride - 1) // stride * stride if multi_scale else imgsz


def crowded_batch(
    batch: int, *, side: int, objects: int, classes: int, device: torch.device
) -> dict[str, Any]:
    """Make a batch of noise with as many objects in each picture as a mosaic of the fullest ones has.

    The assigner of the loss holds arrays of pictures x objects x anchors, which can outweigh the activations.
    """
    count = batch * objects
    centres = torch.rand(count, 2, device=device) * 0.8 + 0.1
    sizes = torch.rand(count, 2, device=device) * 0.1 + 0.02
    return {
        "img": torch.rand(batch, 3, side, side, device=device),
        "batch_idx": torch.arange(batch, device=device).repeat_interleave(objects).float(),
        "cls": torch.randint(classes, (count, 1), device=device).float(),
        "bboxes": torch.cat((centres, sizes), 1),
    }
