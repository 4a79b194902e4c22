"""A board to test with: the double of TensorRT and the stand-in of libcudart, here or in a child."""

import ctypes
import hashlib
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

HERE = Path(__file__).parent
LINES = ("8.5", "8.6", "10.3", "10.13", "10.16", "11.4")  # of TensorRT; keys of api.json
SONAMES = ("libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0")
_CUDA = {
    "8.5": "11.4",
    "8.6": "12.2",
    "10.3": "12.6",
    "10.13": "13.0",
    "10.16": "13.2",
    "11.4": "13.2",
}  # JetPack's


def cudart_folder():
    """Give a folder with the stand-in of libcudart under each of its names; compiled once for each source."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler: apt-get install gcc libc6-dev")
    source = HERE / "cudart.c"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"edgebound-cudart-{os.getuid()}-{digest}-2"
    if not folder.is_dir():
        making = Path(tempfile.mkdtemp(prefix="edgebound-cudart-"))
        command = ["cc", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", "-pthread"]
        command.append("-Wl,-Bsymbolic")  # its calls are its own, also where torch brings a real libcudart
        subprocess.run([*command, "-o", str(making / SONAMES[0]), str(source)], check=True)
        for name in SONAMES[1:]:
            (making / name).symlink_to(SONAMES[0])  # one library, whichever name a process asks for
        try:
            making.rename(folder)
        except OSError:  # another process was first
            shutil.rmtree(making)
    return folder


def board_env(version, sm="8.7", **more):
    """Give the environment of a child that runs on a board with that line of TensorRT.

    Args:
        version: A line of `LINES`, as `10.3`.
        sm: Compute capability of the GPU.
        more: Further variables, as TRT_DOUBLE_FAIL or CUDA_DOUBLE_MEMORY_MIB.
    """
    return {
        "TRT_DOUBLE_VERSION": version,
        "CUDA_DOUBLE_SM": sm,
        "CUDA_DOUBLE_VERSION": _CUDA[version],
        "LD_LIBRARY_PATH": _before(cudart_folder(), "LD_LIBRARY_PATH"),
        "PYTHONPATH": _before(HERE, "PYTHONPATH"),
        **more,
    }


def _before(folder, variable):
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get(variable)])])


@contextmanager
def board_here(version, sm="8.7", **more):
    """Make this process a board for a while; gives the double, as `import tensorrt` would.

    The libraries that a process loads cannot be chosen once it runs: the product is pointed at the stand-in.
    """
    from targets.cuda_access import cudart

    library = str(cudart_folder() / SONAMES[1])
    variables = {**board_env(version, sm, **more), "CUDA_DOUBLE_LIBRARY": library}
    with pytest.MonkeyPatch.context() as patch:
        for name in set(variables) - {"LD_LIBRARY_PATH", "PYTHONPATH"}:
            patch.setenv(name, variables[name])
        patch.syspath_prepend(str(HERE))
        patch.setattr(cudart, "NAMES", (library,))
        # Setting an item to itself first makes the patch put it back, or take it away, at the end.
        for name in ("tensorrt", "pycuda", *[one for one in sys.modules if one.startswith("tensorrt.")]):
            patch.delitem(sys.modules, name, raising=False)
        try:
            yield importlib.import_module("tensorrt")
        finally:
            for name in [one for one in sys.modules if one.split(".")[0] == "tensorrt"]:
                del sys.modules[name]


def live_handles():
    """Give how much of each kind is not freed on the stand-in in this process."""
    library = ctypes.CDLL(str(cudart_folder() / SONAMES[1]))
    kinds = ("device", "pinned", "streams", "events", "graphs")
    return {kind: library.cuda_double_live(place) for place, kind in enumerate(kinds)}


@pytest.fixture(name="trt", params=LINES)
def trt_of_each_line(request):
    """Give the double of each line in turn, in this process."""
    with board_here(request.param) as module:
        yield module
