"""The ways to reach CUDA that we have: pycuda where it is installed, else ctypes over libcudart."""

from targets.cuda import Cuda
from targets.cuda_access.cudart import open_cudart
from targets.cuda_access.pyc import open_pycuda


def find_cuda() -> Cuda:
    """Give access to CUDA.

    Raises:
        EvidenceError: There is no CUDA runtime here, or no device.
    """
    return open_pycuda() or open_cudart()
