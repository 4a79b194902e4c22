"""Pictures and detections in a line each, and pycocotools as the judge of what they are worth."""

import contextlib
import io

import numpy as np
from hypothesis import strategies as st

from stages.dataset import Dataset, Picture
from stages.evaluation.detect import Detections
from stages.evaluation.matching import ANY_AREA_PX2, IOU_THRESHOLDS
from stages.evaluation.overlap import Boxes

SIDE_PX = (
    16  # a power of two: boxes on whole pixels stay exact as fractions, so overlaps hit thresholds exactly
)
NAMES = ("hole", "scratch")
CLASSES = len(NAMES)


def picture(boxes=(), crowd=None, side_px=SIDE_PX, file="p.jpg"):
    """Give a picture with boxes (class, left, top, right, bottom) in pixels."""
    rows = np.array(boxes, np.float64).reshape(-1, 5)
    centred = np.column_stack([(rows[:, 1:3] + rows[:, 3:]) / 2, rows[:, 3:] - rows[:, 1:3]]) / side_px
    return Picture(
        file=file,
        sha256="",
        width=side_px,
        height=side_px,
        boxes=np.column_stack([rows[:, 0], centred]),
        crowd=np.zeros(len(rows), np.bool_) if crowd is None else np.array(crowd, np.bool_),
    )


def detections(*pictures):
    """Give detections (left, top, right, bottom, score, class), picture by picture."""
    rows = [np.array(one, np.float32).reshape(-1, 6) for one in pictures]
    rows = [one[np.argsort(-one[:, 4], kind="stable")] for one in rows]
    return Detections(counts=np.array([len(one) for one in rows], np.int32), boxes=np.concatenate(rows))


def dataset(pictures, names=NAMES):
    return Dataset(class_names=names, train=(), val=tuple(pictures), calibration=())


def repeated(found, pictures, times):
    """Give the data set in which picture i occurs times[i] times."""
    ends = np.cumsum(found.counts)
    order = np.repeat(np.arange(len(pictures)), times)
    rows = [found.boxes[ends[i] - found.counts[i] : ends[i]] for i in order]
    return detections(*rows), [pictures[i] for i in order]


corners = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(1, 4), st.integers(1, 4)).map(
    lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])
)
class_ids = st.integers(0, CLASSES - 1)
truths = st.lists(st.tuples(class_ids, corners).map(lambda row: (row[0], *row[1])), max_size=4)
finds = st.lists(
    st.tuples(corners, st.integers(1, 16), class_ids).map(lambda row: (*row[0], row[1] / 16, row[2])),
    max_size=6,
)


@st.composite
def cases(draw, sides=1):
    """Give pictures with boxes, crowds among them, and the detections of so many models."""
    boxes = draw(st.lists(truths, min_size=1, max_size=4))
    crowds = [draw(st.lists(st.booleans(), min_size=len(one), max_size=len(one))) for one in boxes]
    pictures = [picture(one, crowd) for one, crowd in zip(boxes, crowds, strict=True)]
    found = [detections(*[draw(finds) for _ in pictures]) for _ in range(sides)]
    return (*found, pictures)


def tell_apart(found):
    """Make all scores differ: of equal ones either may come first."""
    found.boxes[:, 4] -= 1e-3 * np.arange(len(found.boxes))
    return found


def pycocotools_precisions(found, data, *, max_det=300, areas_px2=ANY_AREA_PX2):
    """Give average precision by pycocotools, (classes, 10); -1 for a class without boxes."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    frame = {
        "images": [{"id": number} for number in range(len(data.val))],
        "categories": [{"id": class_id} for class_id in range(len(data.class_names))],
    }
    sides = []
    for boxes, scores in (
        (Boxes.of_pictures(data.val), None),
        (Boxes.of_detections(found), found.boxes[:, 4]),
    ):
        rows = [
            {
                "id": row + 1,
                "image_id": int(boxes.places[row]),
                "category_id": int(boxes.class_ids[row]),
                "bbox": boxes.ltwh[row].tolist(),
                "area": float(boxes.areas_px2[row]),
                "iscrowd": int(boxes.crowd[row]),
            }
            for row in range(len(boxes.ltwh))
        ]
        if scores is not None:
            rows = [{**row, "score": float(score)} for row, score in zip(rows, scores, strict=True)]
        side = COCO()
        side.dataset = {**frame, "annotations": rows}
        with contextlib.redirect_stdout(io.StringIO()):
            side.createIndex()
        sides.append(side)
    judge = COCOeval(*sides, "bbox")
    judge.params.iouThrs = IOU_THRESHOLDS
    judge.params.maxDets = [max_det]
    judge.params.areaRng, judge.params.areaRngLbl = [list(areas_px2)], ["asked for"]
    with contextlib.redirect_stdout(io.StringIO()):
        judge.evaluate()
        judge.accumulate()
    return judge.eval["precision"][:, :, :, 0, 0].mean(axis=1).T
