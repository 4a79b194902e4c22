"""CUDA through pycuda, where it is installed; its graphs come from the CUDA runtime, since it knows none."""

import atexit
import contextlib
import ctypes
import threading
import warnings
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, Type, TypeVar

from targets.cuda import Gpu
from targets.cuda_access.cudart import MEMORY_HINT, Cudart, open_cudart
from targets.errors import EvidenceError

_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING, cuda.h: it does not wait for the default stream
_HINT = "Without pycuda we use the CUDA runtime itself: `pip uninstall pycuda` if this goes on."
_Result = TypeVar("_Result")


def open_pycuda() -> "Optional[Pycuda]":
    """Give CUDA through pycuda, or nothing where it is not installed, has no driver or sees no device."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # it warns before it fails, where it is installed and libcuda is not
            from pycuda import driver
    except ImportError:
        return None
    try:
        driver.init()
        return Pycuda(driver) if driver.Device.count() else None
    except driver.Error:
        return None


class Pycuda:
    """CUDA by pycuda, in the device's primary context: the one that TensorRT uses."""

    name = "pycuda"

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self._error: Type[Exception] = driver.Error
        self._device = driver.Device(0)
        self._context = self._device.retain_primary_context()
        self._held: Dict[int, Any] = {}  # by address or handle; pycuda frees what nobody holds
        self._unwanted: List[Any] = []
        self._home = threading.get_ident()
        self._runtime: Optional[Cudart] = None
        # pycuda's own end of a primary context is the wrong call (cuCtxDetach), and says so on stderr.
        atexit.register(self._close)

    def runtime_version(self) -> str:
        """Give the version of CUDA that pycuda was built for, as `12.6`."""
        version: Tuple[int, ...] = self._driver.get_version()
        return f"{version[0]}.{version[1]}"

    def gpu(self) -> Gpu:
        """Describe the device."""
        device = self._device
        return self._do(
            lambda: Gpu(
                name=device.name(),
                sm="{}.{}".format(*device.compute_capability()),
                memory_bytes=device.total_memory(),
                integrated=bool(device.get_attribute(self._driver.device_attribute.INTEGRATED)),
            )
        )

    def free_bytes(self) -> int:
        """Give how much device memory is free."""
        return int(self._do(self._driver.mem_get_info)[0])

    def allocate(self, size: int) -> int:
        """Give the address of `size` bytes on the device."""
        memory = self._do(lambda: self._driver.mem_alloc(size))
        return self._hold(int(memory), memory)

    def release(self, address: int) -> None:
        """Free what `allocate` gave."""
        self._do(self._take(address).free)

    def allocate_pinned(self, size: int) -> int:
        """Give the address of `size` page-locked bytes on the host, which copies need not stage."""
        array = self._do(lambda: self._driver.pagelocked_empty(size, "uint8"))
        return self._hold(array.ctypes.data, array)

    def release_pinned(self, address: int) -> None:
        """Free what `allocate_pinned` gave."""
        self._do(self._take(address).base.free)

    def copy_to_device(self, device: int, host: int, size: int, stream: int) -> None:
        """Queue a copy of `size` bytes."""
        self._do(lambda: self._driver.memcpy_htod_async(device, _bytes_at(host, size), self._find(stream)))

    def copy_to_host(self, host: int, device: int, size: int, stream: int) -> None:
        """Queue a copy of `size` bytes."""
        self._do(lambda: self._driver.memcpy_dtoh_async(_bytes_at(host, size), device, self._find(stream)))

    def create_stream(self) -> int:
        """Give a stream of its own, which does not wait for the default stream."""
        stream = self._do(lambda: self._driver.Stream(_NON_BLOCKING))
        return self._hold(stream.handle, stream)

    def destroy_stream(self, stream: int) -> None:
        """Free a stream."""
        self._drop(stream)

    def synchronize(self, stream: int) -> None:
        """Wait until all that was queued on a stream is done."""
        self._do(self._find(stream).synchronize)

    def create_event(self) -> int:
        """Give an event that can be timed."""
        event = self._do(self._driver.Event)
        return self._hold(id(event), event)  # pycuda tells no handle of events

    def destroy_event(self, event: int) -> None:
        """Free an event."""
        self._drop(event)

    def record(self, event: int, stream: int) -> None:
        """Queue the event."""
        self._do(lambda: self._find(event).record(self._find(stream)))

    def elapsed_ms(self, begin: int, end: int) -> float:
        """Give the time between two events that have happened, in milliseconds, to half a microsecond."""
        return float(self._do(lambda: self._find(end).time_since(self._find(begin))))

    def begin_capture(self, stream: int) -> None:
        """Begin to record what is queued on a stream instead of running it."""
        self._graphs().begin_capture(stream)

    def end_capture(self, stream: int) -> int:
        """End it, and give the graph, ready to launch."""
        return self._graphs().end_capture(stream)

    def launch_graph(self, graph: int, stream: int) -> None:
        """Queue a whole graph."""
        self._graphs().launch_graph(graph, stream)

    def destroy_graph(self, graph: int) -> None:
        """Free a graph."""
        self._graphs().destroy_graph(graph)

    def _graphs(self) -> Cudart:
        if self._runtime is None:
            self._runtime = open_cudart()
        return self._runtime

    def _do(self, call: Callable[[], _Result]) -> _Result:
        with self._current():
            try:
                return call()
            except self._error as exc:
                hint = MEMORY_HINT if isinstance(exc, self._driver.MemoryError) else _HINT
                raise EvidenceError(f"pycuda: {exc}.", hint=hint) from exc

    @contextlib.contextmanager
    def _current(self) -> Iterator[None]:
        """Make the context current for one call: a thread that ends with it current makes pycuda abort."""
        self._context.push()
        try:
            yield
        finally:
            self._context.pop()

    def _hold(self, key: int, thing: Any) -> int:
        self._held[key] = thing
        return key

    def _find(self, key: int) -> Any:
        try:
            return self._held[key]
        except KeyError:
            raise EvidenceError(
                f"pycuda: there is no {key:#x}; it may be freed already.", hint=_HINT
            ) from None

    def _drop(self, key: int) -> None:
        """Let go of what its destructor frees: pycuda leaks it in all threads but the context's own."""
        self._unwanted.append(self._take(key))
        if threading.get_ident() == self._home:
            self._unwanted.clear()

    def _close(self) -> None:
        self._held.clear()
        self._unwanted.clear()
        self._context.detach()

    def _take(self, key: int) -> Any:
        thing = self._find(key)
        del self._held[key]
        return thing


def _bytes_at(address: int, size: int) -> "ctypes.Array[ctypes.c_char]":
    return (ctypes.c_char * size).from_address(address)
