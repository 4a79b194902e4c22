"""`proof/expected.json`: what the engine found on the shipped pictures where it was judged, and how fast."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Optional, Tuple

from targets.errors import ModelError
from targets.folder import is_safe
from targets.record import dump as dump_record
from targets.record import load as load_record
from targets.record import refuse_schema

SCHEMA = 1
FILE_NAME = "proof/expected.json"
PICTURES = "proof/pictures"
"""Folder of the pictures, beside `expected.json`."""

_AGAIN = "Pull the release again; if it stays so, ask for it to be made again."
_NEWER = "Update edgebound on this machine."


@dataclass(frozen=True)
class ExpectedBox:
    """One object.

    Attributes:
        xyxy: In pixels of the picture.
        score: 0 to 1.
        class_id: Place in the model's class names.
    """

    xyxy: Tuple[float, float, float, float]
    score: float
    class_id: int


@dataclass(frozen=True)
class ExpectedPicture:
    """What is on one picture.

    Attributes:
        name: File in `proof/pictures`, of one part.
        boxes: All that score `conf` or more, after NMS.
    """

    name: str
    boxes: Tuple[ExpectedBox, ...]


@dataclass(frozen=True)
class Tolerance:
    """How far a device may be from what is expected.

    Attributes:
        iou: Overlap that a box has with the one expected, at least.
        score: Difference of their scores, at most; a box that close to `conf` may be there or not.
        latency_factor: Times the expected p50, at most.
    """

    iou: float = 0.9
    score: float = 0.05
    latency_factor: float = 1.5


@dataclass(frozen=True)
class Expected:
    """What `verify` holds a device against.

    Attributes:
        conf: Score under which boxes were dropped, 0 to 1.
        iou: Overlap above which NMS dropped the weaker box, 0 to 1.
        max_det: Boxes kept per picture.
        pictures: With what is on them; none where the release ships none.
        tolerance: How far off is still the same.
        p50_ms: Latency of one call with one picture, copies included, median; None where nobody measured.
        p99_ms: Likewise, 99th percentile.
        host: Fingerprint of the machine that was timed; empty where none was.
        device: The same for people: module, or CPU.
        schema: Version of this file's format.
    """

    conf: float
    iou: float
    max_det: int
    pictures: Tuple[ExpectedPicture, ...]
    tolerance: Tolerance
    p50_ms: Optional[float]
    p99_ms: Optional[float]
    host: str
    device: str
    schema: int = SCHEMA


def dump(expected: Expected) -> str:
    """Give the file's text.

    Raises:
        ValueError: A figure is NaN or infinite.
    """
    return dump_record(expected)


def load(text: str, source: Path) -> Expected:
    """Read what `dump` gave, strictly.

    Args:
        text: Of the file.
        source: Where it is from, for the message.

    Raises:
        ModelError: It is no such file, of another version, or says what cannot be.
    """
    try:
        refuse_schema(text, source, SCHEMA, older=_AGAIN, newer=_NEWER)
        expected = load_record(Expected, text)
    except ValueError as exc:
        raise ModelError(f"{source} cannot be read as expected outputs: {exc}", hint=_AGAIN) from exc
    problem = next(_problems(expected), "")
    if problem:
        raise ModelError(f"{source} says what cannot be: {problem}.", hint=_AGAIN)
    return expected


def read_expected(release: Path) -> Expected:
    """Read the file of a release.

    Raises:
        ModelError: It is missing, or is no such file.
    """
    path = release / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as exc:
        raise ModelError(f"{path} cannot be read: {exc}", hint=_AGAIN) from exc
    return load(text, path)


def _problems(expected: Expected) -> Iterator[str]:
    tolerance = expected.tolerance
    shares = {
        "conf": expected.conf,
        "iou": expected.iou,
        "tolerance.iou": tolerance.iou,
        "tolerance.score": tolerance.score,
    }
    yield from (f"{name} is {value}" for name, value in shares.items() if not 0 <= value <= 1)
    if tolerance.latency_factor < 1:
        yield f"tolerance.latency_factor is {tolerance.latency_factor}"
    if expected.max_det < 1:
        yield f"max_det is {expected.max_det}"
    for name in ("p50_ms", "p99_ms"):
        value = getattr(expected, name)
        if value is not None and not value > 0:
            yield f"{name} is {value}"
    names = [picture.name for picture in expected.pictures]
    if len(set(names)) < len(names):
        yield "a picture is there twice"
    for picture in expected.pictures:
        yield from _problems_of(picture)


def _problems_of(picture: ExpectedPicture) -> Iterator[str]:
    if "/" in picture.name or not is_safe(picture.name):
        yield f"a picture is called {picture.name[:100]!r}"
    for box in picture.boxes:
        left, top, right, bottom = box.xyxy
        sides = all(map(math.isfinite, box.xyxy)) and left <= right and top <= bottom
        if not sides or not 0 <= box.score <= 1 or box.class_id < 0:
            yield f"{picture.name} has a box {box.xyxy}, class {box.class_id}, score {box.score}"
