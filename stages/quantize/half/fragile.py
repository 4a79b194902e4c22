"""Fragile nodes: what has to stay in FP32, found with real pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.quantize.calibration.session import Session
from stages.quantize.graph import Graph
from stages.quantize.half.convert import half_nodes
from stages.quantize.half.decoding import decoding_of, extract, picture_input
from stages.quantize.half.gap import Gap, Judge, best_score
from stages.quantize.half.observe import Observer, Seen
from stages.quantize.half.offenders import Measure, find_offenders, keep_worst
from stages.quantize.half.suspects import find_suspects
from stages.quantize.half.trial import Case, Feeds, Tolerance, Trials
from stages.stage import Progress
from targets.errors import DataError
from targets.model import ModelSpec

Images = NDArray[np.float32]
Reasons = dict[str, str]

ENOUGH = 20  # detections to judge by; of fewer, 19 of 20 is just a word
_SEARCHED = 4  # pictures that single nodes are judged by
# Of what is allowed, for the rounding within decoding; the convolutions before it need the rest.
_OF_DECODING = 0.5


@dataclass(frozen=True)
class Fragile:
    """What has to stay in FP32.

    Attributes:
        reasons: Why, by the name of the node, in the order of the graph.
        gap: How far detections move with these in FP32 and all others in FP16, on all pictures.
    """

    reasons: Reasons
    gap: Gap


@dataclass(frozen=True)
class _Looked:
    """What came of looking at all pictures once.

    Attributes:
        seen: The extremes of all tensors.
        judge: Knows which detections count.
        pictures: Those few that the model is surest on, as its inputs.
        borders: For the same, the inputs of decoding, rounded to FP16.
    """

    seen: Seen
    judge: Judge
    pictures: list[Feeds]
    borders: list[Feeds]


def find_fragile(
    model: onnx.ModelProto,
    images: Iterable[Images],
    spec: ModelSpec,
    *,
    tolerance: Tolerance,
    total: int,
    progress: Progress,
) -> Fragile:
    """Find the nodes that FP16 breaks, and then those that it makes too inexact.

    First come constants, and the values on all pictures: what is beyond FP16 or vanishes in it. Then comes
    decoding, fed with what the head gives: FP16 has too few bits for pixels. Then the whole model. The latter
    two are tried in FP16, and where detections move too far, the worst nodes are kept.

    Args:
        model: FP32, with named nodes.
        images: (1, 3, height, width) each; gone through more than once.
        spec: Of the model.
        tolerance: By how much detections may move.
        total: How many pictures there are.
        progress: To be told how far it is.

    Raises:
        ModelError: The model does not take the pictures, is not finite on one, or answers not as `spec` says.
        DataError: There is no picture.
    """
    name = picture_input(model)
    end = extract(model, decoding_of(model))
    looked = _look(model, end, _told(images, progress, 0, total), spec, slack=tolerance.scores)
    able = half_nodes(model)
    reasons = {node: why for node, why in find_suspects(Graph(model), looked.seen).items() if node in able}
    reasons |= _in_decoding(end, looked, reasons, tolerance)

    def every() -> Iterator[Case]:
        return _cases(model, ({name: one} for one in _told(images, progress, total, total)))

    gap = Trials(model, every, judge=looked.judge, fixed=reasons, only=False).gap(())
    if tolerance.used(gap) > 1:
        few = list(_cases(model, looked.pictures))
        trials = Trials(model, lambda: few, judge=looked.judge, fixed=reasons)
        reasons |= _worst(trials, tolerance, find_offenders)
        gap = Trials(model, every, judge=looked.judge, fixed=reasons, only=False).gap(())
    return Fragile({node: reasons[node] for node in able if node in reasons}, gap)


def _told(images: Iterable[Images], progress: Progress, start: int, total: int) -> Iterator[Images]:
    for done, one in enumerate(images):
        progress(start + done, 2 * total, "comparing with FP32" if start else "looking at values")
        yield one


def _look(
    model: onnx.ModelProto, end: onnx.ModelProto, images: Iterable[Images], spec: ModelSpec, *, slack: float
) -> _Looked:
    """Look at all pictures; remember those with the surest detections, and what decoding is given there."""
    name, borders = picture_input(model), [one.name for one in end.graph.input]
    observer = Observer(model, [model.graph.output[0].name, *borders])
    best: list[tuple[float, Feeds, Feeds]] = []
    for picture in images:
        result, *values = observer.look(picture)
        border = dict(zip(borders, map(_rounded, values), strict=True))
        best.append((best_score(result, spec), {name: picture}, border))
        best.sort(key=lambda one: one[0], reverse=True)
        del best[_SEARCHED:]
    if not best:
        raise DataError("There are no calibration pictures.", hint="Set data.calibration above 0.")
    return _Looked(
        seen=observer.seen,
        judge=Judge(spec, floor=min(spec.conf, best[0][0] / 2), slack=slack),
        pictures=[shown for _, shown, _ in best],
        borders=[border for _, _, border in best],
    )


def _rounded(values: NDArray[Any]) -> NDArray[Any]:
    """Give values as FP16 has them; integers as they are."""
    if values.dtype != np.float32:
        return values
    with np.errstate(over="ignore"):
        return values.astype(np.float16).astype(np.float32)


def _cases(model: onnx.ModelProto, inputs: Iterable[Feeds]) -> Iterator[Case]:
    """Give inputs of a model, each with its first output in FP32."""
    session = Session(model, [model.graph.output[0].name])
    for feeds in inputs:
        yield feeds, session.run(feeds)[0]


def _in_decoding(end: onnx.ModelProto, looked: _Looked, known: Reasons, tolerance: Tolerance) -> Reasons:
    """Keep the nodes of decoding that are too inexact; all where there is too little to judge them by."""
    names = [name for name in half_nodes(end) if name not in known]
    if not names:
        return {}
    cases = list(_cases(end, looked.borders))
    trials = Trials(end, lambda: cases, judge=looked.judge, fixed=known.keys() & set(half_nodes(end)))
    if trials.gap(names).detections < ENOUGH:
        return dict.fromkeys(names, "decoding; there are too few detections on the pictures to judge it by")
    allowed = replace(
        tolerance, boxes_px=tolerance.boxes_px * _OF_DECODING, scores=tolerance.scores * _OF_DECODING
    )
    found = _worst(trials, allowed, keep_worst)
    if allowed.used(trials.gap(found)) > 1:
        return dict.fromkeys(names, "decoding, which is too inexact in FP16")
    return found


def _worst(
    trials: Trials, allowed: Tolerance, search: Callable[[Sequence[str], Measure], list[str]]
) -> Reasons:
    """Keep the worst nodes until the others are within what is allowed, if there are such."""
    found = search(trials.nodes, lambda kept: allowed.used(trials.gap(kept)))
    return {node: f"in FP16 it alone moves {trials.gap_of(node)}" for node in found}
