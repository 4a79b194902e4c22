"""Duplicates: a picture saved again is found, a similar one of a fixed camera is not."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from stages.data.duplicates import ROWS, SIDE, Pairs, find_duplicates, look
from stages.data.labels import collect
from stages.data.pictures import Read
from stages.stage import no_progress

Pixels = NDArray[np.uint8]


def read(path: str, pixels: Pixels) -> Read:
    return Read(path=path, labels=collect([], 1), sha256=sha256(pixels).hexdigest(), look=look(pixels))


def find(train: dict[str, Pixels], val: dict[str, Pixels]) -> Pairs:
    splits = [[read(path, pixels) for path, pixels in split.items()] for split in (train, val)]
    return find_duplicates(splits[0], splits[1], no_progress)


def scene(seed: int) -> Pixels:
    blocks = np.random.default_rng(seed).integers(40, 200, (9, 12, 3), dtype=np.uint8)
    return cv2.resize(blocks, (320, 240), interpolation=cv2.INTER_CUBIC)


def saved(pixels: Pixels, quality: int) -> Pixels:
    _, jpeg = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(jpeg, cv2.IMREAD_COLOR)


NONE = Pairs(exact_within=(), exact_across=(), near_within=(), near_across=(), leaked=frozenset())


def test_different_pictures_are_no_duplicates() -> None:
    assert find({"a": scene(0), "b": scene(1)}, {"c": scene(2)}) == NONE


def test_the_same_bytes_are_exact_duplicates() -> None:
    a = scene(0)

    pairs = find({"a": a, "b": a}, {"c": a, "d": a, "e": scene(1)})

    assert pairs == replace(
        NONE,
        exact_within=(("b", "a"), ("d", "c")),
        exact_across=(("c", "a"),),
        leaked=frozenset({"a", "b"}),
    )


AGAIN: dict[str, Callable[[Pixels], Pixels]] = {
    "quality 60": lambda pixels: saved(pixels, 60),
    "half the size": lambda pixels: cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "larger": lambda pixels: saved(cv2.resize(pixels, None, fx=1.5, fy=1.5), 80),
    "brighter": lambda pixels: saved(cv2.convertScaleAbs(pixels, alpha=1.05, beta=5), 85),
}


@pytest.mark.parametrize("again", AGAIN.values(), ids=AGAIN)
def test_a_picture_saved_again_looks_the_same(again: Callable[[Pixels], Pixels]) -> None:
    a = scene(0)

    pairs = find({"a": a, "b": again(a)}, {"c": scene(1), "d": again(scene(1)), "e": saved(a, 90)})

    assert pairs == replace(
        NONE,
        near_within=(("b", "a"), ("d", "c")),
        near_across=(("e", "a"),),
        leaked=frozenset({"a", "b"}),
    )


def test_a_new_defect_before_a_fixed_camera_is_no_duplicate() -> None:
    defect = scene(0)
    cv2.circle(defect, (160, 120), 12, (20, 20, 20), -1)

    assert find({"a": scene(0)}, {"b": defect}) == NONE


def test_pictures_without_contrast_are_not_compared() -> None:
    dark, noisy = np.zeros((240, 320, 3), np.uint8), np.zeros((240, 320, 3), np.uint8)
    noisy[::2, ::3] = 1

    assert find({"a": dark}, {"b": noisy}) == NONE


def test_of_many_pictures_none_is_forgotten() -> None:
    looks = np.random.default_rng(0).normal(0, 30, (4 * ROWS // 2, SIDE**2)).astype(np.float32)
    reads = [Read(path=str(n), labels=collect([], 1), sha256=str(n), look=one) for n, one in enumerate(looks)]
    border = len(reads) - ROWS // 2
    repeats = ((ROWS - 1, 0), (ROWS, 1), (border - 1, border - 2), (border, 1), (border + 9, border + 1))
    for again, first in repeats:
        looks[again] = looks[first] * 0.9 + 0.01

    pairs = find_duplicates(reads[:border], reads[border:], no_progress)

    names = [(str(again), str(first)) for again, first in repeats]
    assert pairs.near_within == (*names[:3], names[4])
    assert pairs.near_across == (names[3],)
    assert pairs.leaked == {"1", str(ROWS)}


@pytest.mark.parametrize("data_set", ["bccd-mini", "bsdata"])
def test_real_pictures_saved_again_are_found_and_no_others(test_data: Path, data_set: str) -> None:
    files = sorted((test_data / data_set / "images" / "val").glob("*.jpg"))
    train = {file.name: cv2.imread(str(file)) for file in files}

    pairs = find(train, {f"again {name}": saved(pixels, 70) for name, pixels in train.items()})

    assert pairs.near_across == tuple((f"again {file.name}", file.name) for file in files)
    assert pairs.near_within == ()
