"""Measure: how long each candidate takes for a picture, on the machine at hand."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from stages.artifact import Artifact
from stages.stage import Progress
from targets.engine import open_engine
from targets.errors import DataError
from targets.kit import BoardWork
from targets.latency import Latency, time_in_turns
from targets.model import ModelSpec, load_model_spec
from targets.profile import TargetProfile
from targets.runtimes import find_runtime
from targets.startup import Start, measure_start

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from targets.runtime import Infer

    Pixels = NDArray[np.uint8]

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
    """Latency of a batch of one picture; each tuple in the order of the engines.

    Attributes:
        latencies: Inference alone, copies in and out included.
        host: Fingerprint of the machine.
        measured_at: ISO 8601, UTC.
        end_to_end: From a picture's pixels to detections: letterbox, inference, NMS. Empty for boards, as are
            the others.
        starts: In a process of its own.
        steady: The calls took a steady time before they were timed.
    """

    latencies: tuple[Latency, ...]
    host: str
    measured_at: str
    end_to_end: tuple[Latency, ...] = ()
    starts: tuple[Start, ...] = ()
    steady: tuple[bool, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Measure candidates side by side, in turns.

    Attributes:
        runs: Timed calls of each engine; under 400, the upper end of p99 is not known.
        warmup: Untimed calls of each before, at least.
        warmup_s: Untimed seconds before, at least; three times as many until the calls take a steady time.
    """

    name: ClassVar[str] = "verify"
    resumes: ClassVar[bool] = False

    runs: int = 400
    warmup: int = 20
    warmup_s: float = 0.3

    def run(self, inputs: MeasureInputs, out: Path, progress: Progress) -> Measured:
        """Measure; it makes no file.

        Raises:
            ModelError: An engine is not what its manifest says.
            DataError: There is no validation picture.
            EvidenceError: An engine does not start in a process of its own.
        """
        del out
        from targets.preprocess import letterbox

        pictures = _load_pictures(inputs)
        for engine in inputs.engines:
            open_engine(engine.path)
        specs = [load_model_spec(engine.path) for engine in inputs.engines]
        starts = tuple(measure_start(engine.path, inputs.profile) for engine in inputs.engines)
        work = BoardWork(runs=self.runs, seconds=math.inf, warmup_runs=self.warmup, warmup_s=self.warmup_s)
        with ExitStack() as stack:
            runtime = find_runtime(inputs.profile.runtime)
            infers = [
                stack.enter_context(runtime.open(engine.path, inputs.profile)) for engine in inputs.engines
            ]
            whole = [_from_pixels(infer, spec) for infer, spec in zip(infers, specs, strict=True)]
            images = [letterbox(picture, specs[0].input)[0] for picture in pictures]
            stack.enter_context(_no_garbage_collection())
            alone = time_in_turns(infers, images, work, progress=_half(progress, 0, "inference"))
            all_of_it = time_in_turns(
                whole, [[picture] for picture in pictures], work, progress=_half(progress, 1, "end to end")
            )
        return Measured(
            latencies=tuple(one.latency for one in alone),
            host=inputs.host,
            measured_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            end_to_end=tuple(one.latency for one in all_of_it),
            starts=starts,
            steady=tuple(one.steady for one in alone),
        )


def _half(progress: Progress, place: int, note: str) -> Callable[[float, float], None]:
    """Give who tells of the first or the second half of the work."""
    return lambda done, total: progress(place * total + done, 2 * total, note)


def _from_pixels(infer: Infer, spec: ModelSpec) -> Callable[[Sequence[Pixels]], object]:
    """Give all that an application does with a picture, at the thresholds that `model.json` says."""
    from targets.postprocess import decode
    from targets.preprocess import letterbox

    def find(pictures: Sequence[Pixels]) -> NDArray[np.float32]:
        images, placement = letterbox(pictures[0], spec.input)
        return decode(infer(images), spec, placement)

    return find


def _load_pictures(inputs: MeasureInputs) -> Sequence[Pixels]:
    """Give a few validation pictures from all over the set."""
    from stages.dataset import load_dataset, read_picture

    val = load_dataset(inputs.index).val
    if not val:
        raise DataError("There is no validation picture to measure with.", hint="Add some to the data set.")
    return [read_picture(inputs.pictures, picture) for picture in val[:: -(-len(val) // _PICTURES)]]


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
