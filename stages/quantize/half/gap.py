"""Gap: how far a model's detections move when it computes with fewer bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from targets.errors import ModelError
from targets.model import ModelSpec

Output = NDArray[np.float32]

_SHARE = 0.95  # of the detections; among the few that are left are those at the edge of two objects
_OTHER_CLASS = 1e6  # pixels; further away than any box


@dataclass(frozen=True)
class Gap:
    """How far 19 of 20 detections move at most.

    Attributes:
        boxes_px: The coordinate of a box that moves most, in pixels of the input.
        scores: The score of a detection that changes most.
        detections: How many there were to judge by.
    """

    boxes_px: float = 0.0
    scores: float = 0.0
    detections: int = 0

    def __str__(self) -> str:
        return f"boxes by up to {self.boxes_px:.2g} px and scores by {self.scores:.2g}"


@dataclass(frozen=True)
class Judge:
    """Compares the outputs of two forms of a model.

    Only detections that the exact form is sure of count. Among the others there are thousands of boxes around
    nothing, which jump about whatever one does.

    Attributes:
        spec: Of the model.
        floor: Score above which a detection counts.
        slack: By how much scores may change. An end-to-end model gives its best detections alone; one that is
            nearer to the worst of them than twice that may be gone for another, and does not count.
    """

    spec: ModelSpec
    floor: float
    slack: float

    def compare(self, reference: Output, output: Output) -> Output:
        """Give (2, N): by how much the box, in pixels, and the score of each detection on a picture move.

        Args:
            reference: Of the exact form, as `spec.output` says.
            output: Of the other.

        Raises:
            ModelError: They are not what `spec` says.
        """
        _check_shape(reference, self.spec)
        _check_shape(output, self.spec)
        gaps = _raw_gaps if self.spec.output == "raw" else _end2end_gaps
        found = gaps(reference[0], output[0], self.floor, self.slack)
        return np.where(np.isnan(found), np.float32(np.inf), found)  # NaN would pass any limit


def best_score(output: Output, spec: ModelSpec) -> float:
    """Give the score of the detection on a picture that a model is most sure of.

    Raises:
        ModelError: The output is not what `spec` says.
    """
    _check_shape(output, spec)
    scores = output[:, 4:] if spec.output == "raw" else output[:, :, 4]
    return float(scores.max(initial=0))


def summarize(gaps: Sequence[Output]) -> Gap:
    """Give the gap over all pictures; nothing where there is no detection."""
    found = np.concatenate([np.empty((2, 0), np.float32), *gaps], axis=1)
    if not found.shape[1]:
        return Gap()
    boxes_px, scores = np.quantile(found, _SHARE, axis=1, method="lower")
    return Gap(float(boxes_px), float(scores), found.shape[1])


def _check_shape(output: Output, spec: ModelSpec) -> None:
    rows = 4 + len(spec.class_names)
    wanted = (1, rows) if spec.output == "raw" else (1, 6)
    if output.ndim != 3 or (output.shape[:2] if spec.output == "raw" else output.shape[::2]) != wanted:
        raise ModelError(
            f"The model answers with shape {output.shape}, which is not the {spec.output!r} output of a model"
            f" with {len(spec.class_names)} classes, as its model.json says.",
            hint="Export the model again; model.json and model must come from the same export.",
        )


def _raw_gaps(reference: Output, output: Output, floor: float, slack: float) -> Output:
    """Look at the anchors with a score above `floor`; (4 + classes, anchors) each."""
    del slack
    sure = reference[4:].max(axis=0) > floor
    gap = np.abs(output[:, sure] - reference[:, sure])
    return np.stack([gap[:4].max(axis=0), gap[4:].max(axis=0)])


def _end2end_gaps(reference: Output, output: Output, floor: float, slack: float) -> Output:
    """Look at the rows above `floor`, each against the nearest of its class; (detections, 6) each.

    Rows are sorted by score, and near scores change places.
    """
    lowest = reference[:, 4].min(initial=np.inf)
    sure = reference[(reference[:, 4] > floor) & (reference[:, 4] > lowest + 2 * slack)]
    apart = np.abs(sure[:, None, :4] - output[None, :, :4]).max(axis=2)
    apart += np.where(sure[:, None, 5] == output[None, :, 5], 0, _OTHER_CLASS)
    nearest = apart.argmin(axis=1)
    return np.stack([apart[np.arange(len(sure)), nearest], np.abs(sure[:, 4] - output[nearest, 4])])
