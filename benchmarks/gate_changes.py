"""Changes of a detector that the gate is to tell apart: harmless ones, and drifts of known strength.

A library for `benchmarks.gate_rates`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

from pipeline.limits import Limits
from stages.artifact import Artifact
from stages.dataset import Dataset
from stages.evaluation.bootstrap import bootstrap
from stages.evaluation.detect import Detections, detect
from stages.evaluation.matching import match
from targets.model import ModelSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from targets.runtime import Images, Infer

Change = Callable[[float], Detections]
"""Changes detections, the stronger the larger the figure."""
FULL_COLOUR = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
LIMIT_PT = Limits().int8_drift_pt
WITHIN = 0.1  # of the drift that is wanted, where bisection ends


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A trained detector and its validation pictures."""

    onnx: Artifact
    spec: ModelSpec
    dataset: Dataset
    pictures: Artifact

    def detect(self, infer: Infer) -> Detections:
        """Look at all validation pictures."""
        return detect([infer], self.spec, pictures=self.dataset.val, root=self.pictures)

    def loss_pt(self, baseline: Detections, candidate: Detections) -> float:
        """Give the loss of mAP50-95 on all pictures."""
        classes = len(self.dataset.class_names)
        sides = [match(one, self.dataset.val, classes=classes) for one in (baseline, candidate)]
        return bootstrap(sides[0], sides[1], resamples=1, seed=0).map50_95.loss_pt


def open_model(model: onnx.ModelProto) -> Infer:
    """Load a graph on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name

    def infer(images: Images) -> NDArray[np.float32]:
        output: NDArray[np.float32] = session.run(None, {name: images})[0]
        return output

    return infer


def with_noise(model: onnx.ModelProto, sigma: float, seed: int) -> onnx.ModelProto:
    """Give the graph with each weight multiplied by 1 + sigma · N(0, 1)."""
    rng = np.random.default_rng(seed)
    noisy = onnx.ModelProto()
    noisy.CopyFrom(model)
    for tensor in noisy.graph.initializer:
        weights = numpy_helper.to_array(tensor)
        if weights.dtype == np.float32 and weights.ndim > 1:
            changed = weights * (1 + sigma * rng.standard_normal(weights.shape))
            tensor.CopyFrom(numpy_helper.from_array(changed.astype(np.float32), tensor.name))
    return noisy


def through_jpeg(infer: Infer, quality: int) -> Infer:
    """Let a model see its pictures re-encoded; the demo's pictures have the model's size."""

    def look(images: Images) -> NDArray[np.float32]:
        pixels = np.round(images[0].transpose(1, 2, 0) * 255).astype(np.uint8)
        settings = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, FULL_COLOUR]
        _, coded = cv2.imencode(".jpg", pixels[..., ::-1], settings)
        decoded = cv2.imdecode(coded, cv2.IMREAD_COLOR)
        assert decoded is not None
        again = decoded[..., ::-1]
        return infer(np.ascontiguousarray(again.transpose(2, 0, 1)[None].astype(np.float32) / 255))

    return look


def jitter(found: Detections, pixels: float, seed: int) -> Detections:
    """Move each box by N(0, pixels)."""
    boxes = found.boxes.copy()
    rng = np.random.default_rng(seed)
    boxes[:, :4] += np.tile(rng.normal(0, pixels, (len(boxes), 2)), 2).astype(np.float32)
    return replace(found, boxes=boxes)


def lose(found: Detections, share: float, seed: int) -> Detections:
    """Drop some of the detections."""
    kept = np.random.default_rng(seed).random(len(found.boxes)) >= share
    places = np.repeat(np.arange(len(found.counts)), found.counts)[kept]
    counts = np.bincount(places, minlength=len(found.counts)).astype(np.int32)
    return replace(found, counts=counts, boxes=found.boxes[kept])


def disorder(found: Detections, sigma: float, seed: int) -> Detections:
    """Put noise on the logits of the scores."""
    scores = np.clip(found.boxes[:, 4].astype(np.float64), 1e-6, 1 - 1e-6)
    logits = np.log(scores / (1 - scores)) + np.random.default_rng(seed).normal(0, sigma, len(scores))
    boxes = found.boxes.copy()
    boxes[:, 4] = 1 / (1 + np.exp(-logits))
    places = np.repeat(np.arange(len(found.counts)), found.counts)
    return replace(found, boxes=boxes[np.lexsort([-boxes[:, 4], places])])


def drift_by(subject: Subject, baseline: Detections, change: Change, most: float) -> Detections:
    """Make a change so strong that the loss is twice the limit."""
    low, high = 0.0, most
    for _ in range(20):
        middle = (low + high) / 2
        found = change(middle)
        loss_pt = subject.loss_pt(baseline, found)
        if abs(loss_pt - 2 * LIMIT_PT) <= WITHIN * 2 * LIMIT_PT:
            return found
        low, high = (middle, high) if loss_pt < 2 * LIMIT_PT else (low, middle)
    raise SystemExit(f"no such change loses {2 * LIMIT_PT} pt")
