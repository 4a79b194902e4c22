"""Score: how well a form finds what is there, from the detections that a board gave back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from stages.artifact import Artifact
from stages.stage import Progress
from stages.verify.evaluate import Evaluated, evaluated


@dataclass(frozen=True, kw_only=True)
class ScoreInputs:
    """What is scored.

    Attributes:
        detections: As `Evaluated.detections`.
        index: The data set that they were made on.
        model: Of the form, for its `model.json`.
    """

    detections: Artifact
    index: Artifact
    model: Artifact


@dataclass(frozen=True, kw_only=True)
class Score:
    """Score stored detections as `Evaluate` scores its own (design decision D2).

    Attributes:
        max_det: Detections kept per picture, or more where `model.json` says so.
    """

    name: ClassVar[str] = "verify"
    resumes: ClassVar[bool] = False

    max_det: int = 300

    def run(self, inputs: ScoreInputs, out: Path, progress: Progress) -> Evaluated:
        """Give the scores.

        Raises:
            DataError: The detections are broken, of another data set, or of other classes than the model's.
        """
        del progress
        from stages.dataset import load_dataset
        from stages.evaluation.detect import load_detections
        from stages.verify.evaluate import check_fit
        from targets.model import load_model_spec

        dataset = load_dataset(inputs.index)
        spec = load_model_spec(inputs.model.path)
        check_fit(spec, dataset)
        found = load_detections(inputs.detections, pictures=len(dataset.val))
        return evaluated(found, dataset, max_det=max(self.max_det, spec.max_det), out=out)
