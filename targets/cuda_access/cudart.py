"""CUDA through ctypes: needs the CUDA runtime that every JetPack has, and no Python package."""

import ctypes
from ctypes import POINTER, byref, c_char_p, c_float, c_int, c_size_t, c_uint, c_ulonglong, c_void_p
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple, Type

from targets.cuda import Gpu
from targets.errors import EvidenceError

NAMES: Tuple[str, ...] = ("libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0")  # JetPack 7, 6, 5
_FOLDERS = ("lib64", "targets/aarch64-linux/lib", "targets/sbsa-linux/lib", "targets/x86_64-linux/lib")
_ROOT = Path("/usr/local")  # where CUDA's packages put it, whether the linker knows it or not

_Type = Type[Any]  # ctypes has no public name for the types that a C function takes
_SIGNATURES: Dict[str, Tuple[_Type, ...]] = {  # cuda_runtime_api.h, the same from 11.4 to 13
    "cudaGetDevice": (POINTER(c_int),),
    "cudaGetDeviceCount": (POINTER(c_int),),
    "cudaDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cudaGetDeviceProperties": (c_void_p, c_int),
    "cudaRuntimeGetVersion": (POINTER(c_int),),
    "cudaMemGetInfo": (POINTER(c_size_t), POINTER(c_size_t)),
    "cudaMalloc": (POINTER(c_void_p), c_size_t),
    "cudaFree": (c_void_p,),
    "cudaHostAlloc": (POINTER(c_void_p), c_size_t, c_uint),
    "cudaFreeHost": (c_void_p,),
    "cudaMemcpyAsync": (c_void_p, c_void_p, c_size_t, c_int, c_void_p),
    "cudaStreamCreateWithFlags": (POINTER(c_void_p), c_uint),
    "cudaStreamDestroy": (c_void_p,),
    "cudaStreamSynchronize": (c_void_p,),
    "cudaEventCreateWithFlags": (POINTER(c_void_p), c_uint),
    "cudaEventDestroy": (c_void_p,),
    "cudaEventRecord": (c_void_p, c_void_p),
    "cudaEventElapsedTime": (POINTER(c_float), c_void_p, c_void_p),
    "cudaStreamBeginCapture": (c_void_p, c_int),
    "cudaStreamEndCapture": (c_void_p, POINTER(c_void_p)),
    "cudaGraphInstantiateWithFlags": (POINTER(c_void_p), c_void_p, c_ulonglong),
    "cudaGraphDestroy": (c_void_p,),
    "cudaGraphExecDestroy": (c_void_p,),
    "cudaGraphLaunch": (c_void_p, c_void_p),
}
# driver_types.h
_HOST_TO_DEVICE, _DEVICE_TO_HOST = 1, 2  # cudaMemcpyKind
_NON_BLOCKING = 1  # cudaStreamNonBlocking: it does not wait for the default stream
_THREAD_LOCAL = 1  # cudaStreamCaptureModeThreadLocal: what other threads do does not end a capture
_INTEGRATED, _SM_MAJOR, _SM_MINOR = 18, 75, 76  # cudaDeviceAttr
# The layout of cudaDeviceProp changes with every major release, but its name comes first in all of them.
_NAME_BYTES, _PROPERTIES_BYTES = 256, 1 << 14
MEMORY_HINT = "Free memory: stop other programs, the desktop among them; or use a smaller workspace."
_OUT_OF_MEMORY, _OLD_DRIVER, _NO_DEVICE = 2, 35, 100  # cudaError
_HINTS = {
    _OUT_OF_MEMORY: MEMORY_HINT,
    _OLD_DRIVER: "The driver is older than this CUDA runtime; install the runtime of this JetPack.",
    _NO_DEVICE: "Run it on a machine with an NVIDIA GPU; `nvidia-smi` or `tegrastats` shows what is seen.",
}
_HINT = "Reboot the device if it goes on; `sudo dmesg` shows what the driver has to say."
_INSTALL = "sudo apt-get install cuda-cudart-12-6 (11-4 on JetPack 5, 13-0 or 13-2 on JetPack 7)"


def open_cudart() -> "Cudart":
    """Load the newest CUDA runtime that the driver can serve.

    Raises:
        EvidenceError: There is none, or none of them finds a device.
    """
    why: List[EvidenceError] = []
    for candidate in _candidates():
        try:
            library = ctypes.CDLL(candidate)
        except OSError:
            continue
        try:
            return Cudart(library)
        except EvidenceError as error:  # a runtime newer than the driver; an older one may be there too
            why.append(error)
    if why:
        raise why[0]
    raise EvidenceError(f"There is no CUDA runtime here: no {' nor '.join(NAMES)}.", hint=_INSTALL)


def _candidates() -> Iterator[str]:
    """Give what to try to load: first what the linker finds."""
    yield from NAMES
    for name in NAMES:
        for folder in _FOLDERS:
            yield from (str(path) for path in sorted(_ROOT.glob(f"cuda*/{folder}/{name}")))


class Cudart:
    """CUDA by the C functions of its runtime. Errors name the function that failed."""

    name = "cudart"

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        for name, arguments in _SIGNATURES.items():
            function = self._find(name)
            function.argtypes, function.restype = arguments, c_int
        self._find("cudaGetErrorString").argtypes = (c_int,)
        self._find("cudaGetErrorString").restype = c_char_p
        count = c_int()
        self._call("cudaGetDeviceCount", byref(count))

    def runtime_version(self) -> str:
        """Give the version of the CUDA runtime, as `12.6`."""
        version = c_int()
        self._call("cudaRuntimeGetVersion", byref(version))
        return f"{version.value // 1000}.{version.value % 1000 // 10}"

    def gpu(self) -> Gpu:
        """Describe the device."""
        device = c_int()
        self._call("cudaGetDevice", byref(device))
        properties = ctypes.create_string_buffer(_PROPERTIES_BYTES)
        self._call("cudaGetDeviceProperties", properties, device)
        return Gpu(
            name=properties.raw[:_NAME_BYTES].split(b"\0", 1)[0].decode("utf-8", "replace"),
            sm=f"{self._attribute(_SM_MAJOR, device)}.{self._attribute(_SM_MINOR, device)}",
            memory_bytes=self._memory()[1],
            integrated=bool(self._attribute(_INTEGRATED, device)),
        )

    def free_bytes(self) -> int:
        """Give how much device memory is free."""
        return self._memory()[0]

    def allocate(self, size: int) -> int:
        """Give the address of `size` bytes on the device."""
        return self._new("cudaMalloc", size)

    def release(self, address: int) -> None:
        """Free what `allocate` gave."""
        self._call("cudaFree", address)

    def allocate_pinned(self, size: int) -> int:
        """Give the address of `size` page-locked bytes on the host, which copies need not stage."""
        return self._new("cudaHostAlloc", size, 0)

    def release_pinned(self, address: int) -> None:
        """Free what `allocate_pinned` gave."""
        self._call("cudaFreeHost", address)

    def copy_to_device(self, device: int, host: int, size: int, stream: int) -> None:
        """Queue a copy of `size` bytes."""
        self._call("cudaMemcpyAsync", device, host, size, _HOST_TO_DEVICE, stream)

    def copy_to_host(self, host: int, device: int, size: int, stream: int) -> None:
        """Queue a copy of `size` bytes."""
        self._call("cudaMemcpyAsync", host, device, size, _DEVICE_TO_HOST, stream)

    def create_stream(self) -> int:
        """Give a stream of its own, which does not wait for the default stream."""
        return self._new("cudaStreamCreateWithFlags", _NON_BLOCKING)

    def destroy_stream(self, stream: int) -> None:
        """Free a stream."""
        self._call("cudaStreamDestroy", stream)

    def synchronize(self, stream: int) -> None:
        """Wait until all that was queued on a stream is done."""
        self._call("cudaStreamSynchronize", stream)

    def create_event(self) -> int:
        """Give an event that can be timed."""
        return self._new("cudaEventCreateWithFlags", 0)

    def destroy_event(self, event: int) -> None:
        """Free an event."""
        self._call("cudaEventDestroy", event)

    def record(self, event: int, stream: int) -> None:
        """Queue the event."""
        self._call("cudaEventRecord", event, stream)

    def elapsed_ms(self, begin: int, end: int) -> float:
        """Give the time between two events that have happened, in milliseconds, to half a microsecond."""
        milliseconds = c_float()
        self._call("cudaEventElapsedTime", byref(milliseconds), begin, end)
        return milliseconds.value

    def begin_capture(self, stream: int) -> None:
        """Begin to record what is queued on a stream instead of running it."""
        self._call("cudaStreamBeginCapture", stream, _THREAD_LOCAL)

    def end_capture(self, stream: int) -> int:
        """End it, and give the graph, ready to launch."""
        recorded = c_void_p()
        self._call("cudaStreamEndCapture", stream, byref(recorded))
        try:
            return self._new("cudaGraphInstantiateWithFlags", recorded, 0)
        finally:
            self._call("cudaGraphDestroy", recorded)

    def launch_graph(self, graph: int, stream: int) -> None:
        """Queue a whole graph."""
        self._call("cudaGraphLaunch", graph, stream)

    def destroy_graph(self, graph: int) -> None:
        """Free a graph."""
        self._call("cudaGraphExecDestroy", graph)

    def _memory(self) -> Tuple[int, int]:
        free, total = c_size_t(), c_size_t()
        self._call("cudaMemGetInfo", byref(free), byref(total))
        return free.value, total.value

    def _attribute(self, attribute: int, device: c_int) -> int:
        value = c_int()
        self._call("cudaDeviceGetAttribute", byref(value), attribute, device)
        return value.value

    def _new(self, function: str, *arguments: object) -> int:
        """Call a function whose first argument takes the handle or address that it makes."""
        made = c_void_p()
        self._call(function, byref(made), *arguments)
        return made.value or 0

    def _call(self, function: str, *arguments: object) -> None:
        code: int = getattr(self._library, function)(*arguments)
        if code:
            text = self._library.cudaGetErrorString(code).decode("utf-8", "replace")
            self._forget()
            raise EvidenceError(f"{function}: {text} (CUDA error {code}).", hint=_HINTS.get(code, _HINT))

    def _forget(self) -> None:
        """Clear the error that CUDA keeps, so that a later check of others does not find ours."""
        self._library.cudaGetLastError()

    def _find(self, name: str) -> "ctypes._NamedFuncPointer":
        try:
            return getattr(self._library, name)  # type: ignore[no-any-return]
        except AttributeError as exc:
            raise EvidenceError(
                f"This CUDA runtime has no {name}; CUDA 11.4 or newer is needed.", hint=_INSTALL
            ) from exc
