"""The stand-in of libcudart that this process uses."""

import ctypes
import os

NAMES = ("libcudart.so.12", "libcudart.so.13", "libcudart.so.11.0")


def find():
    """Load the stand-in; the real library must not be used, since it does not know our memory."""
    for name in (os.environ.get("CUDA_DOUBLE_LIBRARY"), *NAMES):
        try:
            library = ctypes.CDLL(name) if name else None
        except OSError:
            continue
        if library is not None and hasattr(library, "cuda_double_live"):
            library.cuda_double_is_on_device.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
            library.cudaLaunchHostFunc.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
            library.cudaStreamIsCapturing.argtypes = (ctypes.c_void_p, ctypes.POINTER(ctypes.c_int))
            library.cudaStreamSynchronize.argtypes = (ctypes.c_void_p,)
            return library
    return None


def sm():
    return os.environ.get("CUDA_DOUBLE_SM", "8.7")


def is_there():
    count = ctypes.c_int()
    library = find()
    return library is not None and library.cudaGetDeviceCount(ctypes.byref(count)) == 0


Callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
