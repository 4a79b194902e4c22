"""Boxes drawn on a picture."""

from typing import TYPE_CHECKING, Tuple

import cv2
import numpy as np

from targets.detections import Detections

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_TURN = 0.61803398875  # of the colour wheel, the golden ratio: neighbouring classes are never alike


def draw(picture: "NDArray[np.uint8]", found: Detections) -> "NDArray[np.uint8]":
    """Give a copy of a picture with each box, its class and its score; weaker boxes lie under stronger ones.

    Args:
        picture: (H, W, 3), BGR.
        found: On it.
    """
    drawn: NDArray[np.uint8] = picture.copy()
    width = max(1, round(min(picture.shape[:2]) / 320))
    for one in reversed(list(found)):
        colour = _colour(one.class_id)
        left, top, right, bottom = (round(side) for side in (one.left, one.top, one.right, one.bottom))
        cv2.rectangle(drawn, (left, top), (right, bottom), colour, width, cv2.LINE_AA)
        _label(drawn, f"{one.name} {one.score:.2f}", (left, top), colour)
    return drawn


def _label(
    drawn: "NDArray[np.uint8]", text: str, corner: Tuple[int, int], colour: Tuple[int, int, int]
) -> None:
    """Write on a plate above the box, or within it where the picture ends."""
    scale = max(0.35, min(drawn.shape[:2]) / 1200)
    thickness = max(1, round(2 * scale))
    (width, height), below = cv2.getTextSize(text, _FONT, scale, thickness)
    left = max(0, min(corner[0], drawn.shape[1] - width))
    top = corner[1] - height - below if corner[1] >= height + below else corner[1]
    cv2.rectangle(drawn, (left, top), (left + width, top + height + below), colour, cv2.FILLED)
    ink = (0, 0, 0) if np.dot(colour, (0.114, 0.587, 0.299)) > 128 else (255, 255, 255)  # luma, ITU-R BT.601
    cv2.putText(drawn, text, (left, top + height), _FONT, scale, ink, thickness, cv2.LINE_AA)


def _colour(class_id: int) -> Tuple[int, int, int]:
    """Give a class a colour of its own, BGR."""
    hue = int(180 * (class_id * _TURN % 1))  # OpenCV's hues are 0 to 179
    pixel = np.array([[[hue, 200, 255 if class_id % 2 else 210]]], np.uint8)
    blue, green, red = cv2.cvtColor(pixel, cv2.COLOR_HSV2BGR)[0, 0].tolist()
    return blue, green, red
