"""Postprocessing: the model's output becomes detections on the picture."""

from typing import TYPE_CHECKING

import numpy as np

from targets.errors import ModelError
from targets.model import ModelSpec
from targets.preprocess import Placement

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from targets.runtime import Output

    Rows = NDArray[np.float32]  # (N, 6): xyxy, score, class

MAX_CANDIDATES = 30_000  # Ultralytics' max_nms: of more, the best
BLOCK = 128  # candidates that NMS compares at once; 64 to 192 are equally fast, 256 is slower
LATER = np.triu(np.ones((BLOCK, BLOCK), np.bool_), 1)


def decode(
    output: "Output", spec: ModelSpec, placement: Placement, *, multi_label: bool = False
) -> "NDArray[np.float32]":
    """Give the detections on one picture; `spec` says down to which score, by which NMS, and how many.

    Whatever is not finite is dropped: it is no detection.

    Args:
        output: The model's answer to one picture.
        spec: Its layout, and the thresholds.
        placement: Where the picture lies in the input.
        multi_label: A box may be several classes at once, as in validation; otherwise its best class only.

    Returns:
        (N, 6): xyxy in pixels of the picture, clipped to it, score, class; sorted by falling score.

    Raises:
        ModelError: The output has not the shape that `spec` promises.
    """
    _check_shape(output, spec)
    if spec.output == "end2end":
        rows = _best(_read_end2end(output[0], spec), spec.max_det)
    else:
        candidates = _best(_read_raw(output[0], spec.conf, multi_label=multi_label), MAX_CANDIDATES)
        rows = candidates[suppress(candidates, iou=spec.iou, max_det=spec.max_det)]
    rows[:, :4] = placement.to_picture(rows[:, :4])
    return rows


def suppress(rows: "Rows", *, iou: float, max_det: int) -> "NDArray[np.intp]":
    """Find what non-maximum suppression keeps, each class for itself.

    Exactly what `torchvision.ops.nms` keeps, in blocks: a block is thinned by what has been kept before it,
    then by itself. Ends with the first `max_det`, which cv2.dnn.NMSBoxes cannot: it takes 0.3 against 0.6 ms
    for 600 candidates, but 200 against 1.5 ms for 8,000, as a model gives that was quantized badly.

    Args:
        rows: (N, 6): xyxy, score, class; sorted by falling score.
        iou: Above this overlap, the weaker box goes.
        max_det: Boxes to keep at most.

    Returns:
        Indices into `rows`, rising.
    """
    kept = np.empty(0, np.intp)
    for start in range(0, len(rows), BLOCK):
        block = np.arange(start, min(start + BLOCK, len(rows)))
        block = block[~_overlap(rows[kept], rows[block], iou).any(axis=0)]
        within = _overlap(rows[block], rows[block], iou) & LATER[: len(block), : len(block)]
        kept = np.append(kept, block[_keep_first(within)])
        if len(kept) >= max_det:
            break
    return kept[:max_det]


def _check_shape(output: "Output", spec: ModelSpec) -> None:
    if spec.output == "raw":
        fits = output.ndim == 3 and output.shape[:2] == (1, 4 + len(spec.class_names))
    else:
        fits = output.ndim == 3 and output.shape[::2] == (1, 6)
    if not fits:
        raise ModelError(
            f"The model answers with shape {output.shape}, which is not the {spec.output!r} output of a model"
            f" with {len(spec.class_names)} classes, as its model.json says.",
            hint="Export the model again; model.json and model must come from the same export.",
        )


@np.errstate(over="ignore", invalid="ignore")  # what overflows is dropped
def _read_raw(output: "NDArray[np.float32]", conf: float, *, multi_label: bool) -> "Rows":
    """Give the rows above `conf` from (4 + classes, anchors), in pixels of the input."""
    scores = output[4:]
    if multi_label:
        class_ids, anchors = np.divmod(np.flatnonzero(scores > conf), scores.shape[1])
    else:
        anchors = np.flatnonzero(scores.max(axis=0) > conf)
        class_ids = scores[:, anchors].argmax(axis=0)
    centre, half = output[:2, anchors], output[2:4, anchors] / np.float32(2)
    rows = np.empty((len(anchors), 6), np.float32)
    rows[:, :2] = (centre - half).T
    rows[:, 2:4] = (centre + half).T
    rows[:, 4] = scores[class_ids, anchors]
    rows[:, 5] = class_ids
    return _finite(rows)


def _read_end2end(output: "NDArray[np.float32]", spec: ModelSpec) -> "Rows":
    rows = _finite(output[output[:, 4] > spec.conf])
    return rows[(rows[:, 5] >= 0) & (rows[:, 5] < len(spec.class_names))]


def _finite(rows: "Rows") -> "Rows":
    return rows[np.isfinite(rows).all(axis=1)]


def _best(rows: "Rows", count: int) -> "Rows":
    return rows[np.argsort(-rows[:, 4], kind="stable")[:count]]


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # boxes of no or of endless area
def _overlap(rows: "Rows", others: "Rows", iou: float) -> "NDArray[np.bool_]":
    """Say which pairs are of one class and overlap by more than `iou`: (N, M)."""
    left, top, right, bottom, _, class_ids = rows.T[:, :, None]
    other_left, other_top, other_right, other_bottom, _, other_class_ids = others.T
    width = np.minimum(right, other_right) - np.maximum(left, other_left)
    height = np.minimum(bottom, other_bottom) - np.maximum(top, other_top)
    common = np.maximum(width, np.float32(0)) * np.maximum(height, np.float32(0))
    areas = (right - left) * (bottom - top) + (other_right - other_left) * (other_bottom - other_top)
    both: NDArray[np.bool_] = common / (areas - common) > _float32_below(iou)
    both &= class_ids == other_class_ids
    return both


def _float32_below(value: float) -> np.float32:
    """Give the greatest float32 that is not above `value`, so that `>` decides as in double precision."""
    nearest = np.float32(value)
    below: np.float32 = np.nextafter(nearest, np.float32(-np.inf))
    return below if float(nearest) > value else nearest


def _keep_first(overlap: "NDArray[np.bool_]") -> "NDArray[np.bool_]":
    """Go through boxes in order and keep each that overlaps with none kept before.

    Args:
        overlap: (N, N), upper triangle: a box against those after it.

    Repeating "what no kept box overlaps is kept" settles the boxes from the first on, in a few rounds.
    """
    keep: NDArray[np.bool_] = np.logical_not(overlap.any(axis=0))
    while not np.array_equal(keep, again := np.logical_not(overlap[keep].any(axis=0))):
        keep = again
    return keep
