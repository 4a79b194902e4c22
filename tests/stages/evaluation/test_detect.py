"""Detections: from pictures through a model to a file, and back."""

import hashlib
import random
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from stages.artifact import Artifact
from stages.dataset import Picture
from stages.evaluation.detect import Detections, detect, load_detections
from targets.errors import DataError, ModelError
from targets.model import InputSpec, ModelSpec

SPEC = ModelSpec(family="toy", class_names=("bright",), input=InputSpec(height=32, width=32), conf=0.01)


def brightest(images):
    """Stand in for a model: one box whose score is the brightness of the picture's middle."""
    return np.array([[[16], [16], [8], [8], [images[0, :, 8:24, 8:24].mean()]]], np.float32)


@pytest.fixture
def greys(tmp_path):
    """Give pictures of rising brightness, 64 x 32 pixels, and their folder."""
    for number in range(1, 9):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((32, 64, 3), 25 * number, np.uint8))
    return [describe(tmp_path / f"{number}.png") for number in range(1, 9)], Artifact(tmp_path, "")


def describe(path: Path):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    nothing = np.zeros((0, 5))
    return Picture(
        file=path.name, sha256=digest, width=64, height=32, boxes=nothing, crowd=np.zeros(0, np.bool_)
    )


def test_each_picture_gets_its_own_detections_in_its_own_pixels(greys):
    pictures, root = greys
    seen = []

    found = detect(
        [brightest],
        SPEC,
        pictures=pictures,
        root=root,
        progress=lambda done, total: seen.append((done, total)),
    )

    assert found.counts.tolist() == [1] * 8
    np.testing.assert_allclose(found.boxes[:, 4], np.arange(1, 9) * 25 / 255, rtol=1e-5)
    np.testing.assert_allclose(found.boxes[:, :4], np.tile([24, 8, 40, 24], (8, 1)))
    assert seen == [(done, 8) for done in range(1, 9)]


def test_of_several_copies_each_is_called_by_one_thread_at_a_time_and_order_is_kept(greys):
    pictures, root = greys
    busy = [threading.Lock() for _ in range(3)]

    def guarded(lock):
        def infer(images):
            assert lock.acquire(blocking=False)
            time.sleep(0.005 * random.random())
            lock.release()
            return brightest(images)

        return infer

    found = detect([guarded(lock) for lock in busy], SPEC, pictures=pictures * 5, root=root)

    np.testing.assert_allclose(found.boxes[:, 4], np.tile(np.arange(1, 9) * 25 / 255, 5), rtol=1e-5)


def test_answers_that_are_not_finite_are_counted(greys):
    pictures, root = greys

    found = detect([lambda images: brightest(images) * np.nan], SPEC, pictures=pictures, root=root)

    assert found.counts.tolist() == [0] * 8
    assert found.boxes.shape == (0, 6)
    assert found.nonfinite == 8


def test_a_picture_that_changed_ends_it(greys):
    pictures, root = greys
    (root / "5.png").write_bytes(b"something else")

    with pytest.raises(DataError, match="has changed"):
        detect([brightest], SPEC, pictures=pictures, root=root)


def test_a_model_that_does_not_answer_as_it_promised_ends_it(greys):
    pictures, root = greys

    with pytest.raises(ModelError, match="answers with shape"):
        detect([lambda _: np.zeros((1, 84, 10), np.float32)], SPEC, pictures=pictures, root=root)


def test_detections_come_back_from_their_file_and_the_file_is_always_the_same(tmp_path):
    rows = np.arange(18, dtype=np.float32).reshape(3, 6)
    found = Detections(counts=np.array([1, 0, 2], np.int32), boxes=rows, nonfinite=1)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        found.save(tmp_path / name)

    back = load_detections(Artifact(tmp_path / "a", ""), pictures=3)

    assert back.counts.tolist() == [1, 0, 2]
    assert np.array_equal(back.boxes, rows)
    assert back.nonfinite == 1
    assert Artifact.of(tmp_path / "a") == Artifact(tmp_path / "a", Artifact.of(tmp_path / "b").digest)


def test_detections_of_another_data_set_are_refused(tmp_path):
    Detections(counts=np.zeros(3, np.int32), boxes=np.zeros((0, 6), np.float32)).save(tmp_path)

    with pytest.raises(DataError, match="about 3 pictures"):
        load_detections(Artifact(tmp_path, ""), pictures=4)


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 torn", b"no archive"])
def test_a_file_that_is_no_archive_of_detections_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "detections.npz").write_bytes(content)

    with pytest.raises(DataError, match="cannot be read as detections"):
        load_detections(Artifact(tmp_path, ""), pictures=1)
