"""Thumbnail: a picture of the data set, small enough to be shown in a report."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2

from stages.dataset import decode_picture

QUALITY = 72  # of the JPEG: some 20 kB at 480 pixels


def thumbnail(path: Path, *, sha256: str, side_px: int) -> bytes | None:
    """Give a picture as JPEG, turned as EXIF says; None where it is gone, or not the one that was checked.

    Args:
        path: Of the file.
        sha256: Of its bytes when it was checked, in hex.
        side_px: Most that its longer side may have.
    """
    try:
        content = path.read_bytes()
    except OSError:
        return None
    pixels = decode_picture(content) if hashlib.sha256(content).hexdigest() == sha256 else None
    if pixels is None:
        return None
    shrink = side_px / max(pixels.shape[:2])
    small = (
        cv2.resize(pixels, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA) if shrink < 1 else pixels
    )
    jpeg: bytes = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
    return jpeg
