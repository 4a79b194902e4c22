"""Pictures: a cut file is found out, whatever the decoder makes of it."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from stages.data.pictures import is_whole_jpeg
from stages.dataset import decode_picture


@pytest.fixture(params=[0, 1], ids=["baseline", "progressive"])
def jpeg(request: pytest.FixtureRequest) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    _, content = cv2.imencode(
        ".jpg", pixels, [cv2.IMWRITE_JPEG_PROGRESSIVE, request.param, cv2.IMWRITE_JPEG_RST_INTERVAL, 2]
    )
    return bytes(content)


def with_thumbnail(jpeg: bytes) -> bytes:
    """Put a JPEG into another's APP1 segment, as cameras do."""
    return jpeg[:2] + b"\xff\xe1" + (len(jpeg) + 2).to_bytes(2, "big") + jpeg + jpeg[2:]


def test_a_whole_jpeg_is_whole_with_anything_behind_its_end(jpeg: bytes) -> None:
    assert is_whole_jpeg(jpeg)
    assert is_whole_jpeg(with_thumbnail(jpeg))
    assert is_whole_jpeg(jpeg + b"\0\0 camera's own")


def test_a_jpeg_cut_anywhere_is_not_whole_even_with_a_whole_thumbnail(jpeg: bytes) -> None:
    content = with_thumbnail(jpeg)

    assert not any(is_whole_jpeg(content[:cut]) for cut in range(2, len(content)))


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_other_formats_do_not_decode_when_cut(suffix: str, share: float) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    content = bytes(cv2.imencode(suffix, pixels)[1])

    assert decode_picture(content) is not None
    assert decode_picture(content[: int(share * len(content))]) is None


def test_real_jpegs_are_whole(test_data: Path) -> None:
    files = sorted((test_data / "bsdata" / "images" / "val").glob("*.jpg"))

    assert files
    assert all(is_whole_jpeg(file.read_bytes()) for file in files)
