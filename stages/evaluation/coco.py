"""Scores: COCO's mAP by faster-coco-eval (C++), and the confidence at which F1 is best."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stages.dataset import Dataset
from stages.evaluation.curves import find_curves
from stages.evaluation.detect import Detections
from stages.evaluation.f1 import find_f1_threshold
from stages.evaluation.matching import IOU_THRESHOLDS, match
from stages.evaluation.overlap import Boxes
from stages.evaluation.scores import ClassScore, Scores
from targets.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
        curves=find_curves(matches),
    )


def coco_precisions(detections: Detections, dataset: Dataset, *, max_det: int) -> NDArray[np.float64]:
    """Give COCO's average precision, (classes, 10) by IoU threshold; -1 for a class without boxes."""
    from faster_coco_eval import COCO, COCOeval_faster

    frame = {
        "images": [{"id": number} for number in range(len(dataset.val))],
        "categories": [{"id": class_id} for class_id in range(len(dataset.class_names))],
    }
    truth, found = COCO(), COCO()
    boxes, finds = Boxes.of_pictures(dataset.val), Boxes.of_detections(detections)
    truth.dataset = {**frame, "annotations": _annotate(boxes, "iscrowd", boxes.crowd)}
    found.dataset = {**frame, "annotations": _annotate(finds, "score", detections.boxes[:, 4])}
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


def _annotate(boxes: Boxes, column: str, values: NDArray[Any]) -> list[dict[str, Any]]:
    """Put boxes as COCO's JSON has them; `column` is one field more."""
    rows = zip(
        boxes.places.tolist(), boxes.class_ids.tolist(), boxes.ltwh.tolist(), values.tolist(), strict=True
    )
    return [
        {
            "id": row,
            "image_id": number,
            "category_id": kind,
            "bbox": box,
            "area": box[2] * box[3],
            column: value,
        }
        for row, (number, kind, box, value) in enumerate(rows, start=1)  # 0 would mean "unmatched"
    ]


def _say_nothing(*_: object) -> None:
    """Stand in for print."""
