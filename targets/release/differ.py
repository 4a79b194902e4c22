"""Differ: what an engine finds, held against what it is expected to find."""

from typing import TYPE_CHECKING, Iterator, List, Optional, Sequence, Tuple

from targets.release.expected import Expected, ExpectedBox, ExpectedPicture, Tolerance

if TYPE_CHECKING:
    from targets.detections import Detections


def differ(picture: ExpectedPicture, found: "Detections", expected: Expected) -> Iterator[str]:
    """Say how what was found differs from what was expected, both ways.

    A box whose score is near the threshold may be there or not.
    """
    seen = [
        ExpectedBox((left, top, right, bottom), score, int(class_id))
        for left, top, right, bottom, score, class_id in found.boxes.tolist()
    ]
    left_over = list(seen)
    for box in sorted(picture.boxes, key=lambda one: -one.score):
        match = _match(box, left_over, expected.tolerance)
        if match is not None:
            left_over.remove(match)
        elif box.score >= _sure(picture.boxes, expected):
            yield f"missing: {_say(box, found.class_names)}"
    for box in left_over:
        if box.score >= _sure(seen, expected):
            yield f"not expected: {_say(box, found.class_names)}"


def _match(box: ExpectedBox, seen: List[ExpectedBox], tolerance: Tolerance) -> Optional[ExpectedBox]:
    near = [
        one
        for one in seen
        if one.class_id == box.class_id
        and abs(one.score - box.score) <= tolerance.score
        and _overlap(one, box) >= tolerance.iou
    ]
    return max(near, key=lambda one: _overlap(one, box), default=None)


def _sure(boxes: Sequence[ExpectedBox], expected: Expected) -> float:
    """Give the score from which a box must be on both sides: of more boxes than are kept, the weakest go."""
    is_full = len(boxes) >= expected.max_det
    weakest = min((box.score for box in boxes), default=0.0) if is_full else 0.0
    return max(expected.conf, weakest) + expected.tolerance.score


def _overlap(one: ExpectedBox, other: ExpectedBox) -> float:
    """Give intersection over union; of two boxes without area whether they are the same."""
    left, top = max(one.xyxy[0], other.xyxy[0]), max(one.xyxy[1], other.xyxy[1])
    right, bottom = min(one.xyxy[2], other.xyxy[2]), min(one.xyxy[3], other.xyxy[3])
    shared = max(right - left, 0.0) * max(bottom - top, 0.0)
    union = _area(one) + _area(other) - shared
    return shared / union if union > 0 else float(one.xyxy == other.xyxy)


def _area(box: ExpectedBox) -> float:
    return (box.xyxy[2] - box.xyxy[0]) * (box.xyxy[3] - box.xyxy[1])


def _say(box: ExpectedBox, names: Tuple[str, ...]) -> str:
    name = names[box.class_id] if box.class_id < len(names) else f"class {box.class_id}"
    return f"{name} {box.score:.2f} at {', '.join(f'{side:.0f}' for side in box.xyxy)}"
