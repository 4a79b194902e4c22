"""The contract of CUDA access (design decision D10): the dozen calls that an engine's runner needs.

Members are in `targets/cuda_access/`; nobody else touches device memory. Handles are plain integers.
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Gpu:
    """A GPU, as its driver describes it.

    Attributes:
        name: As the driver calls it, `Orin`.
        sm: CUDA compute capability, `8.7`.
        memory_bytes: In all; on Jetson shared with the CPU.
        integrated: It shares the memory of the CPU.
    """

    name: str
    sm: str
    memory_bytes: int
    integrated: bool


class Cuda(Protocol):
    """CUDA on the current device. Every call raises EvidenceError with CUDA's own words when it fails."""

    name: str

    def runtime_version(self) -> str:
        """Give the version of the CUDA runtime, as `12.6`."""
        ...

    def gpu(self) -> Gpu:
        """Describe the device."""
        ...

    def free_bytes(self) -> int:
        """Give how much device memory is free."""
        ...

    def allocate(self, size: int) -> int:
        """Give the address of `size` bytes on the device."""
        ...

    def release(self, address: int) -> None:
        """Free what `allocate` gave."""
        ...

    def allocate_pinned(self, size: int) -> int:
        """Give the address of `size` page-locked bytes on the host, which copies need not stage."""
        ...

    def release_pinned(self, address: int) -> None:
        """Free what `allocate_pinned` gave."""
        ...

    def copy_to_device(self, device: int, host: int, size: int, stream: int) -> None:
        """Queue a copy of `size` bytes."""
        ...

    def copy_to_host(self, host: int, device: int, size: int, stream: int) -> None:
        """Queue a copy of `size` bytes."""
        ...

    def create_stream(self) -> int:
        """Give a stream of its own, which does not wait for the default stream."""
        ...

    def destroy_stream(self, stream: int) -> None:
        """Free a stream."""
        ...

    def synchronize(self, stream: int) -> None:
        """Wait until all that was queued on a stream is done."""
        ...

    def create_event(self) -> int:
        """Give an event that can be timed."""
        ...

    def destroy_event(self, event: int) -> None:
        """Free an event."""
        ...

    def record(self, event: int, stream: int) -> None:
        """Queue the event."""
        ...

    def elapsed_ms(self, begin: int, end: int) -> float:
        """Give the time between two events that have happened, in milliseconds, to half a microsecond."""
        ...

    def begin_capture(self, stream: int) -> None:
        """Begin to record what is queued on a stream instead of running it."""
        ...

    def end_capture(self, stream: int) -> int:
        """End it, and give the graph, ready to launch."""
        ...

    def launch_graph(self, graph: int, stream: int) -> None:
        """Queue a whole graph."""
        ...

    def destroy_graph(self, graph: int) -> None:
        """Free a graph."""
        ...
