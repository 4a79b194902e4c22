"""A double of `pycuda.driver`, as far as we use it, on the stand-in of libcudart.

Names, arguments and manners are those of pycuda 2026.1 (src/wrapper/wrap_cudadrv.cpp, src/cpp/cuda.hpp), with
which `targets/cuda_access/pyc.py` was run once on a libcuda made of the same stand-in: nothing goes without a
current context; streams and events are freed by their destructor, and in the context's own thread only.
"""

import ctypes
import threading

import numpy as np


class Error(Exception):
    """Of a call of the driver."""


class MemoryError(Error):  # noqa: A001
    """There is too little memory."""


class device_attribute:  # noqa: N801
    """CUdevice_attribute, cuda.h."""

    INTEGRATED = 18


class Driver:
    """The module. `library` is the stand-in, loaded."""

    Error, MemoryError, device_attribute = Error, MemoryError, device_attribute

    def __init__(self, library):
        self._library = library
        library.cudaGetErrorString.restype = ctypes.c_char_p
        self._home = threading.get_ident()
        self._current = threading.local()
        self.Device, self.Stream, self.Event = (self._bind(kind) for kind in (Device, Stream, Event))

    def _bind(self, kind):
        return type(kind.__name__, (kind,), {"_driver": self})

    def _call(self, name, *arguments, needs_context=True):
        if needs_context and not getattr(self._current, "depth", 0):
            raise Error(f"{name} failed: invalid device context")
        code = getattr(self._library, name)(*arguments)
        if code:
            kind = MemoryError if code == 2 else Error
            raise kind(f"{name} failed: {self._library.cudaGetErrorString(code).decode()}")

    def init(self):
        self._call("cudaGetDeviceCount", ctypes.byref(ctypes.c_int()), needs_context=False)

    def get_version(self):
        version = ctypes.c_int()
        self._call("cudaRuntimeGetVersion", ctypes.byref(version), needs_context=False)
        return version.value // 1000, version.value % 1000 // 10, 0

    def mem_get_info(self):
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self._call("cudaMemGetInfo", ctypes.byref(free), ctypes.byref(total))
        return free.value, total.value

    def mem_alloc(self, size):
        return Memory(self, "cudaMalloc", "cudaFree", ctypes.c_size_t(size))

    def pagelocked_empty(self, shape, dtype):
        memory = Memory(self, "cudaHostAlloc", "cudaFreeHost", ctypes.c_size_t(shape), 0)
        return Array(memory, shape, dtype)

    def memcpy_htod_async(self, dest, src, stream=None):
        self._copy(dest, ctypes.addressof(src), ctypes.sizeof(src), 1, stream)

    def memcpy_dtoh_async(self, dest, src, stream=None):
        self._copy(ctypes.addressof(dest), src, ctypes.sizeof(dest), 2, stream)

    def _copy(self, to, from_, size, kind, stream):
        pointers = ctypes.c_void_p(to), ctypes.c_void_p(from_), ctypes.c_size_t(size)
        self._call("cudaMemcpyAsync", *pointers, kind, ctypes.c_void_p(stream.handle))


class Memory:
    def __init__(self, driver, allocate, release, *arguments):
        self._driver, self._release, self._address = driver, release, ctypes.c_void_p()
        driver._call(allocate, ctypes.byref(self._address), *arguments)

    def __int__(self):
        return self._address.value

    def free(self):
        self._driver._call(self._release, self._address)


class Array:
    """A numpy array, as far as anybody asks; its `base` frees the memory."""

    def __init__(self, memory, size, dtype):
        self.base = memory
        content = (ctypes.c_char * size).from_address(int(memory))
        self.ctypes = np.frombuffer(content, dtype=dtype).ctypes


class Context:
    def __init__(self, driver):
        self._driver = driver
        self.is_detached = False

    def push(self):
        current = self._driver._current
        current.depth = getattr(current, "depth", 0) + 1

    def pop(self):
        self._driver._current.depth -= 1

    def detach(self):
        self.is_detached = True


class Device:
    def __init__(self, number):
        self._number = number

    @classmethod
    def count(cls):
        count = ctypes.c_int()
        cls._driver._library.cudaGetDeviceCount(ctypes.byref(count))
        return count.value

    def name(self):
        name = ctypes.create_string_buffer(1 << 14)
        self._driver._call("cudaGetDeviceProperties", name, self._number)
        return name.value.decode()

    def compute_capability(self):
        return self.get_attribute(75), self.get_attribute(76)

    def total_memory(self):
        return self._driver.mem_get_info()[1]

    def get_attribute(self, attribute):
        value = ctypes.c_int()
        self._driver._call("cudaDeviceGetAttribute", ctypes.byref(value), attribute, self._number)
        return value.value

    def retain_primary_context(self):
        return Context(self._driver)


class _Handle:
    def _make(self, function, flags):
        made = ctypes.c_void_p()
        self._driver._call(function, ctypes.byref(made), flags)
        self._pointer = made

    def _free(self, function):
        if threading.get_ident() == self._driver._home:
            getattr(self._driver._library, function)(self._pointer)


class Stream(_Handle):
    def __init__(self, flags=0):
        self._make("cudaStreamCreateWithFlags", flags)

    handle = property(lambda self: self._pointer.value)

    def synchronize(self):
        self._driver._call("cudaStreamSynchronize", self._pointer)

    def __del__(self):
        self._free("cudaStreamDestroy")


class Event(_Handle):
    def __init__(self, flags=0):
        self._make("cudaEventCreateWithFlags", flags)

    def record(self, stream):
        self._driver._call("cudaEventRecord", self._pointer, stream._pointer)

    def time_since(self, event):
        elapsed = ctypes.c_float()
        self._driver._call("cudaEventElapsedTime", ctypes.byref(elapsed), event._pointer, self._pointer)
        return elapsed.value

    def __del__(self):
        self._free("cudaEventDestroy")
