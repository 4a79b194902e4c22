"""Thumbnails: small, whole, and only of the very picture that was asked for."""

import hashlib

import cv2
import numpy as np
import pytest

from stages.thumbnail import thumbnail


def picture(folder, width, height):
    """Write noise, which JPEG cannot make small; give the file and the SHA-256 of its bytes."""
    path = folder / "p.jpg"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8))
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("width", "height", "shape"),
    [(1200, 800, (320, 480, 3)), (300, 600, (480, 240, 3)), (64, 48, (48, 64, 3))],
)
def test_the_longer_side_is_shrunk_and_never_stretched(tmp_path, width, height, shape):
    path, sha256 = picture(tmp_path, width, height)

    jpeg = thumbnail(path, sha256=sha256, side_px=480)

    assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape == shape
    assert len(jpeg) < 150_000


def test_a_picture_that_changed_went_or_is_none_gives_nothing(tmp_path):
    path, sha256 = picture(tmp_path, 64, 48)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")

    assert thumbnail(path, sha256="0" * 64, side_px=480) is None
    assert thumbnail(tmp_path / "gone.jpg", sha256=sha256, side_px=480) is None
    assert thumbnail(broken, sha256=hashlib.sha256(b"no picture").hexdigest(), side_px=480) is None
