"""Scores: COCO's mAP by faster-coco-eval (C++), and the confidence at which F1 is best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.dataset import Dataset, Picture
from stages.evaluation.detect import Detections
from stages.evaluation.matching import IOU_THRESHOLDS, Matches, found_to_ltwh, match, to_ltwh
from stages.evaluation.scores import ClassScore, Scores
from targets.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

F1_GRID = np.linspace(0, 1, 1001)
F1_WINDOW = 101  # grid points, so 0.1: what Ultralytics smooths its F1 curve by


def score(detections: Detections, dataset: Dataset, *, max_det: int) -> Scores:
    """Score detections on the validation pictures.

    Raises:
        DataError: There is nothing to be found on them.
    """
    matches = match(detections, dataset.val, classes=len(dataset.class_names))
    boxes = [int(one.boxes.sum()) for one in matches]
    if not any(boxes):
        raise DataError(
            "The validation pictures have no boxes, so nothing can be measured on them.",
            hint="Label some validation pictures, or move labelled ones from train to val.",
        )
    precisions = coco_precisions(detections, dataset, max_det=max_det)
    classes = tuple(
        ClassScore(name=name, ap50=float(of_class[0]), ap50_95=float(of_class.mean()), boxes=count)
        for name, of_class, count in zip(dataset.class_names, precisions, boxes, strict=True)
        if count
    )
    return Scores(
        map50_95=float(np.mean([one.ap50_95 for one in classes])),
        map50=float(np.mean([one.ap50 for one in classes])),
        classes=classes,
        f1_threshold=find_f1_threshold(matches),
    )


def coco_precisions(detections: Detections, dataset: Dataset, *, max_det: int) -> NDArray[np.float64]:
    """Give COCO's average precision, (classes, 10) by IoU threshold; -1 for a class without boxes."""
    from faster_coco_eval import COCO, COCOeval_faster

    frame = {
        "images": [{"id": number} for number in range(len(dataset.val))],
        "categories": [{"id": class_id} for class_id in range(len(dataset.class_names))],
    }
    truth, found = COCO(), COCO()
    truth.dataset = {**frame, "annotations": _list_boxes(dataset.val)}
    found.dataset = {**frame, "annotations": _list_detections(detections)}
    truth.createIndex()
    found.createIndex()
    evaluation = COCOeval_faster(truth, found, "bbox", print_function=_say_nothing)
    evaluation.params.iouThrs = IOU_THRESHOLDS
    evaluation.params.maxDets = [max_det]
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
    evaluation.evaluate()
    evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, 0]  # (thresholds, recalls, classes, areas, maxDets)
    of_class: NDArray[np.float64] = precision.mean(axis=1).T
    return of_class


def find_f1_threshold(matches: Sequence[Matches]) -> float:
    """Give the confidence at which F1 at IoU 0.5, averaged over the classes that have boxes, is best.

    The curve is smoothed: its top is flat, and the bare maximum would jump at the slightest change.
    """
    curves = [_f1_curve(one) for one in matches if one.boxes.any()]
    around = np.pad(np.mean(curves, axis=0), F1_WINDOW // 2, mode="edge")
    smooth = np.convolve(around, np.full(F1_WINDOW, 1 / F1_WINDOW), mode="valid")
    return float(F1_GRID[smooth.argmax()])


def _f1_curve(matches: Matches) -> NDArray[np.float64]:
    """Give F1 = 2 TP / (detections + boxes) at each confidence of the grid."""
    judged = ~matches.ignored[0]
    rising = matches.scores[judged][::-1]
    above = len(rising) - np.searchsorted(rising, F1_GRID)
    right = np.concatenate([[0], np.cumsum(matches.hits[0][judged])])[above]
    curve: NDArray[np.float64] = 2 * right / (above + matches.boxes.sum())
    return curve


def _list_boxes(pictures: Sequence[Picture]) -> list[dict[str, Any]]:
    return _annotate(
        np.array([len(picture.boxes) for picture in pictures]),
        class_ids=np.concatenate([picture.boxes[:, 0] for picture in pictures]),
        boxes=np.concatenate([to_ltwh(picture) for picture in pictures]),
        column=("iscrowd", np.concatenate([picture.crowd for picture in pictures])),
    )


def _list_detections(detections: Detections) -> list[dict[str, Any]]:
    return _annotate(
        detections.counts,
        class_ids=detections.boxes[:, 5],
        boxes=found_to_ltwh(detections.boxes),
        column=("score", detections.boxes[:, 4]),
    )


def _annotate(
    counts: NDArray[np.integer[Any]],
    *,
    class_ids: NDArray[np.floating[Any]],
    boxes: NDArray[np.float64],
    column: tuple[str, NDArray[Any]],
) -> list[dict[str, Any]]:
    """Put rows as COCO's JSON has them; `column` is one more, with its name."""
    name, values = column
    numbers = np.repeat(np.arange(len(counts)), counts).tolist()
    rows = zip(numbers, class_ids.astype(int).tolist(), boxes.tolist(), values.tolist(), strict=True)
    return [
        {
            "id": row,
            "image_id": number,
            "category_id": kind,
            "bbox": box,
            "area": box[2] * box[3],
            name: value,
        }
        for row, (number, kind, box, value) in enumerate(rows, start=1)  # 0 would mean "unmatched"
    ]


def _say_nothing(*_: object) -> None:
    """Stand in for print."""
