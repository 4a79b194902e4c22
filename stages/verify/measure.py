"""Measure: how long each candidate takes for a picture, on the machine at hand."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from stages.artifact import Artifact
from stages.stage import Progress
from targets.engine import open_engine
from targets.errors import DataError
from targets.latency import Latency, measure_interleaved
from targets.model import InputSpec, load_model_spec
from targets.profile import TargetProfile
from targets.runtimes import find_runtime

if TYPE_CHECKING:
    from targets.runtime import Images, Infer

_PICTURES = 8  # enough for inputs to differ, few enough to stay in memory


@dataclass(frozen=True, kw_only=True)
class MeasureInputs:
    """What is measured, and with what.

    Attributes:
        engines: Candidates of one target.
        index: The prepared data set.
        pictures: The folder that its pictures are in.
        profile: Of the target.
        host: Fingerprint of the machine that measures.
    """

    engines: tuple[Artifact, ...]
    index: Artifact
    pictures: Artifact
    profile: TargetProfile
    host: str


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Latency of a batch of one picture, inference alone, copies in and out included.

    Attributes:
        latencies: Of the engines, in their order.
        host: Fingerprint of the machine.
        measured_at: ISO 8601, UTC.
    """

    latencies: tuple[Latency, ...]
    host: str
    measured_at: str


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Measure candidates side by side, in turns.

    Attributes:
        runs: Timed calls of each engine; under 100, p99 is the maximum by another name.
        warmup: Most untimed calls of each before; fewer once the calls take a steady time.
    """

    name: ClassVar[str] = "verify"
    resumes: ClassVar[bool] = False

    runs: int = 200
    warmup: int = 100

    def run(self, inputs: MeasureInputs, out: Path, progress: Progress) -> Measured:
        """Measure; it makes no file.

        Raises:
            ModelError: An engine is not what its manifest says.
            DataError: There is no validation picture.
        """
        del out
        with ExitStack() as stack:
            infers = [stack.enter_context(_open(engine.path, inputs.profile)) for engine in inputs.engines]
            images = _load_images(inputs, load_model_spec(inputs.engines[0].path).input)
            stack.enter_context(_no_garbage_collection())
            latencies = measure_interleaved(
                infers, images, runs=self.runs, warmup=self.warmup, progress=progress
            )
        measured_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
        return Measured(latencies=tuple(latencies), host=inputs.host, measured_at=measured_at)


@contextmanager
def _open(engine: Path, profile: TargetProfile) -> Iterator[Infer]:
    open_engine(engine)
    with find_runtime(profile.runtime).open(engine, profile) as infer:
        yield infer


def _load_images(inputs: MeasureInputs, spec: InputSpec) -> Sequence[Images]:
    """Give a few validation pictures from all over the set, as the engines take them."""
    from stages.dataset import load_dataset, read_picture
    from targets.preprocess import letterbox

    val = load_dataset(inputs.index).val
    if not val:
        raise DataError("There is no validation picture to measure with.", hint="Add some to the data set.")
    chosen = val[:: -(-len(val) // _PICTURES)]
    return [letterbox(read_picture(inputs.pictures, picture), spec)[0] for picture in chosen]


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
