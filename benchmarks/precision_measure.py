"""What `benchmarks.precision` measures of engines that should answer as their FP32 model does.

All engines, the FP32 one too, are OpenVINO's with the same settings. Noise is judged on decoded outputs:
boxes in pixels of the input, and class scores as logits (clipped at 1e-7), each 10 log10(sum ref² / sum err²)
over all anchors and pictures, and of the two the mean. So it sees what detections hide: all that lies under
the threshold.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.peers import PROFILE
from benchmarks.precision_sets import Subject, say
from stages.dataset import Dataset, Picture, read_picture
from stages.evaluation.bootstrap import bootstrap
from stages.evaluation.coco import score
from stages.evaluation.detect import Detections, detect
from stages.evaluation.matching import match
from stages.evaluation.scores import Loss
from targets.kit import BoardWork
from targets.latency import time_in_turns
from targets.preprocess import letterbox
from targets.runtimes.ov import OvRuntime

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from targets.runtime import Images, Infer

FP32, OURS = "fp32", "edgebound"
SURE = 0.25  # score from which on an FP32 detection is taken for true, as in deployment
WORK = BoardWork(runs=300, seconds=math.inf, warmup_runs=20, warmup_s=0.3)
_TINY = 1e-7
_RESAMPLES = 1000
_TIMED_PICTURES = 8


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What one engine is worth on one set; the FP32 engine has no losses.

    Attributes:
        set: Name of the set.
        method: Who made the engine.
        map50_95: On the validation pictures, 0 to 1.
        drift_pt: Loss of it against FP32, in points; positive is worse.
        drift_low_pt: Lower end of its 95 % interval.
        drift_high_pt: Upper end.
        agreement: mAP50-95 with the FP32 detections as truth, on all pictures outside the calibration set.
        sqnr_db: Signal by noise at the outputs, on the same pictures.
        p50_ms: Latency.
    """

    set: str
    method: str
    map50_95: float
    drift_pt: float = 0.0
    drift_low_pt: float = 0.0
    drift_high_pt: float = 0.0
    agreement: float | None = None
    sqnr_db: float | None = None
    p50_ms: float


@dataclass
class Noise:
    """Signal and noise, summed up picture by picture."""

    signal: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    error: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))

    def add(self, reference: NDArray[np.float32], output: NDArray[np.float32]) -> None:
        """Compare two raw outputs, (1, 4 + classes, anchors)."""
        for part, (wanted, given) in enumerate(zip(_parts(reference), _parts(output), strict=True)):
            self.signal[part] += np.square(wanted).sum()
            self.error[part] += np.square(wanted - given).sum()

    def ratio_db(self) -> float:
        """Give the mean of boxes' and logits' ratio; infinite where one has no noise."""
        if not self.error.all():
            return math.inf
        return float(np.mean(10 * np.log10(self.signal / self.error)))


def measure(subject: Subject, peers: Mapping[str, Path]) -> list[Figures]:
    """Measure the FP32 engine, ours, and those of peers."""
    name = subject.case.name
    with _open({FP32: subject.fp32.path, OURS: subject.int8.path, **peers}) as engines:
        say(f"{name}: latency")
        p50_ms = _time(engines, _load(subject, _spread(subject.dataset.val)))
        found = {}
        for method, infer in engines.items():
            say(f"{name}: {method} on {len(subject.dataset.val)} validation pictures")
            found[method] = find(infer, subject, subject.dataset.val)
        agreements = _agree(engines, subject) if subject.case.real else {}
        noises = _compare_outputs(engines, subject) if subject.case.real else {}
    losses = {method: lose(found[FP32], one, subject.dataset) for method, one in found.items()}
    return [
        Figures(
            set=name,
            method=method,
            map50_95=score(found[method], subject.dataset, max_det=subject.spec.max_det).map50_95,
            drift_pt=loss.loss_pt,
            drift_low_pt=loss.interval_pt[0],
            drift_high_pt=loss.interval_pt[1],
            agreement=agreements.get(method),
            sqnr_db=noises.get(method),
            p50_ms=p50_ms[method],
        )
        for method, loss in losses.items()
    ]


def find(infer: Infer, subject: Subject, pictures: Sequence[Picture]) -> Detections:
    """Evaluate as the pipeline does."""
    return detect([infer], subject.spec, pictures=pictures, root=subject.pictures)


def lose(baseline: Detections, candidate: Detections, dataset: Dataset) -> Loss:
    """Give the loss of mAP50-95 with its interval."""
    matches = [match(one, dataset.val, classes=len(dataset.class_names)) for one in (baseline, candidate)]
    return bootstrap(*matches, resamples=_RESAMPLES, seed=0).map50_95


def judge_by(found: Detections, pictures: Sequence[Picture], class_names: tuple[str, ...]) -> Dataset:
    """Make a data set of `pictures` in which what was surely found is what is to be found."""
    ends = np.cumsum(found.counts)
    truth = tuple(
        _with_boxes(picture, found.boxes[start:end])
        for picture, start, end in zip(pictures, ends - found.counts, ends, strict=True)
    )
    return Dataset(class_names=class_names, train=(), val=truth, calibration=())


def _with_boxes(picture: Picture, rows: NDArray[np.float32]) -> Picture:
    """Replace the boxes by detections (N, 6): xyxy in pixels, score, class."""
    sure = rows[rows[:, 4] >= SURE].astype(np.float64)
    size = np.array([picture.width, picture.height], np.float64)
    left_top, right_bottom = sure[:, :2] / size, sure[:, 2:4] / size
    boxes = np.hstack([sure[:, 5:], (left_top + right_bottom) / 2, right_bottom - left_top])
    return replace(picture, boxes=boxes, crowd=np.zeros(len(boxes), np.bool_))


def _agree(engines: Mapping[str, Infer], subject: Subject) -> dict[str, float]:
    pictures = subject.unseen()
    say(f"{subject.case.name}: agreement on {len(pictures)} pictures")
    truth = judge_by(find(engines[FP32], subject, pictures), pictures, subject.dataset.class_names)
    return {
        method: score(find(infer, subject, pictures), truth, max_det=subject.spec.max_det).map50_95
        for method, infer in engines.items()
        if method != FP32
    }


def _compare_outputs(engines: Mapping[str, Infer], subject: Subject) -> dict[str, float]:
    noises = {method: Noise() for method in engines if method != FP32}
    for images in _load(subject, subject.unseen()):
        reference = engines[FP32](images)
        for method, noise in noises.items():
            noise.add(reference, engines[method](images))
    return {method: noise.ratio_db() for method, noise in noises.items()}


def _parts(output: NDArray[np.float32]) -> Iterator[NDArray[np.float64]]:
    """Give boxes and logits."""
    yield output[0, :4].astype(np.float64)
    scores = np.clip(output[0, 4:].astype(np.float64), _TINY, 1 - _TINY)
    yield np.log(scores / (1 - scores))


def _load(subject: Subject, pictures: Sequence[Picture]) -> list[Images]:
    return [letterbox(read_picture(subject.pictures, picture), subject.spec.input)[0] for picture in pictures]


def _spread(pictures: Sequence[Picture]) -> Sequence[Picture]:
    """Choose a few from all over."""
    return pictures[:: -(-len(pictures) // _TIMED_PICTURES)]


def _time(engines: Mapping[str, Infer], images: Sequence[Images]) -> dict[str, float]:
    gc.collect()
    gc.disable()
    try:
        timings = time_in_turns(list(engines.values()), images, WORK, progress=lambda *_: None)
    finally:
        gc.enable()
    return {method: one.latency.p50 for method, one in zip(engines, timings, strict=True)}


@contextmanager
def _open(folders: Mapping[str, Path]) -> Iterator[dict[str, Infer]]:
    with ExitStack() as stack:
        yield {
            method: stack.enter_context(OvRuntime().open(folder, PROFILE))
            for method, folder in folders.items()
        }
