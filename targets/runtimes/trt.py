"""TensorRT: builds plans where they run, and runs them."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Dict, Iterator

from targets.engine import Manifest, open_engine
from targets.errors import ModelError
from targets.kit import BoardWork
from targets.platforms import number
from targets.profile import TargetProfile

if TYPE_CHECKING:
    from targets.runtime import Images, Infer, Output
    from targets.trt.run import Session


class TrtRuntime:
    """TensorRT on the GPU of this machine."""

    def version(self) -> str:
        """Give the version of TensorRT.

        Raises:
            EvidenceError: It is not installed.
        """
        from targets.trt.library import version

        return version()

    def facts(self) -> Dict[str, str]:
        """Give the GPU's compute capability and name, and the CUDA version.

        Raises:
            EvidenceError: There is no TensorRT, no CUDA, or no GPU.
        """
        from targets.trt.library import facts

        return facts()

    def build(self, model: Path, profile: TargetProfile, out: Path) -> None:
        """Build `out/engine.plan` with the builder's own defaults.

        Raises:
            UnsupportedError: TensorRT cannot run the model here.
            EvidenceError: TensorRT or a GPU is missing.
        """
        from targets.trt.build import build

        build(model, profile, out, BoardWork(), cache=None, progress=lambda _done, _total, _text: None)

    @contextmanager
    def open(self, engine: Path, profile: TargetProfile) -> "Iterator[Infer]":
        """Load the plan of an engine folder, if it was built for this TensorRT and this GPU.

        Raises:
            ModelError: It was not, or is no plan.
            EvidenceError: TensorRT or a GPU is missing.
        """
        from targets.trt.run import open_plan

        del profile
        _refuse_foreign(engine, open_engine(engine))
        with open_plan(engine / "engine.plan") as session:
            yield _Infer(session)


class _Infer:
    """Calls a session.

    Attributes:
        graph: Calls launch a CUDA graph.
    """

    def __init__(self, session: "Session") -> None:
        self._session = session
        self.graph = session.graph

    def __call__(self, images: "Images") -> "Output":
        return self._session.infer(images)


def _refuse_foreign(engine: Path, manifest: Manifest) -> None:
    """Refuse a plan of another TensorRT or GPU before it is deserialised: plans are not portable."""
    from targets.trt.library import facts, version

    here, sm = version(), facts()["sm"]
    if number(manifest.runtime_version) != number(here) and manifest.runtime_version != here:
        raise ModelError(
            f"{engine} was built with TensorRT {manifest.runtime_version}; here is {here}.",
            hint="Build it here: a plan runs only on the version that built it.",
        )
    if manifest.facts.get("sm", sm) != sm:
        raise ModelError(
            f"{engine} was built for compute capability {manifest.facts['sm']}; this GPU has {sm}.",
            hint="Build it here: a plan runs only on the kind of GPU that built it.",
        )
