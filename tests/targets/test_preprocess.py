"""Letterboxing, held against Ultralytics' own."""

import cv2
import numpy as np
import pytest

from targets.model import InputSpec
from targets.preprocess import letterbox, place

SQUARE = InputSpec(height=64, width=64)


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("height", "width"), [(64, 64), (48, 64), (240, 320), (333, 500), (500, 333), (10, 300), (31, 17)]
)
def test_the_input_is_what_yolo_val_would_make_of_the_picture(height, width, tmp_path):
    from stages.yolo import YOLODataset

    folder = tmp_path / "images"
    folder.mkdir()
    picture = noise(height, width)
    cv2.imwrite(str(folder / "one.png"), picture)
    cv2.imwrite(str(folder / "other.png"), noise(64, 64))
    frame = {"names": {0: "hole"}, "nc": 1, "channels": 3}
    theirs = YOLODataset(str(folder), data=frame, imgsz=64, augment=False, rect=False, task="detect")[0]

    images, placement = letterbox(picture, SQUARE)

    assert images.dtype == np.float32
    np.testing.assert_allclose(images[0], theirs["img"].numpy().astype(np.float32) / 255, atol=1e-6)
    (scale_y, scale_x), (left, top) = theirs["ratio_pad"]
    assert (placement.left_px, placement.top_px) == (left, top)
    assert placement.inner_width / width == pytest.approx(scale_x)
    assert placement.inner_height / height == pytest.approx(scale_y)


def test_boxes_come_back_to_where_they_were_on_the_picture():
    placement = place(333, 500, SQUARE)
    boxes = np.array([[10, 20, 110, 220], [0, 0, 333, 500]], np.float32)
    scale = np.array([placement.inner_width / 333, placement.inner_height / 500] * 2)
    border = np.array([placement.left_px, placement.top_px] * 2)

    back = placement.to_picture((boxes * scale + border).astype(np.float32))

    np.testing.assert_allclose(back, boxes, atol=1e-3)


def test_boxes_end_where_the_picture_ends():
    placement = place(32, 64, SQUARE)

    back = placement.to_picture(np.array([[-50, -50, 100, 100]], np.float32))

    assert back.tolist() == [[0, 0, 32, 64]]


def test_an_oblong_input_is_filled_as_far_as_the_picture_goes():
    images, placement = letterbox(np.full((10, 10, 3), 255, np.uint8), InputSpec(height=32, width=64))

    assert (placement.inner_width, placement.inner_height) == (32, 32)
    assert np.all(images[0, :, :, 16:48] == 1)
    assert np.all(images[0, :, :, :16] == np.float32(114 / 255))
