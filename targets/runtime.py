"""The contract of an inference engine: build a model for a device, then run it there."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Dict, Protocol

from targets.profile import TargetProfile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Images = NDArray[np.float32]
    Output = NDArray[np.float32]
    Infer = Callable[[Images], Output]
# Images: (B, 3, H, W), RGB, in [0, 1]. Output: as `ModelSpec.output` says.
# Infer returns once the device is done, so a clock around it reads true.


class Runtime(Protocol):
    """An inference engine. Members are in `targets/runtimes/`; nothing to inherit."""

    def version(self) -> str:
        """Give the version of the library that is installed here.

        Raises:
            EvidenceError: It is not installed.
        """
        ...

    def facts(self) -> Dict[str, str]:
        """Give what an engine depends on beside the version, as `sm` of a GPU; nothing for CPUs.

        Raises:
            EvidenceError: The runtime's machine is not here.
        """
        ...

    def build(self, model: Path, profile: TargetProfile, out: Path) -> None:
        """Build the ONNX file `model` and write the engine's files into the folder `out`.

        Raises:
            UnsupportedError: The runtime cannot run this model.
        """
        ...

    def open(self, engine: Path, profile: TargetProfile) -> "AbstractContextManager[Infer]":
        """Load the engine in the folder `engine`; the context gives a function to call.

        Raises:
            ModelError: The files are not an engine of this runtime.
        """
        ...
