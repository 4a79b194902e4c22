"""Compare: how much worse one form is than another, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from stages.artifact import Artifact
from stages.stage import Progress


@dataclass(frozen=True, kw_only=True)
class CompareInputs:
    """Two forms' detections on the same pictures.

    Attributes:
        baseline: Detections of the form to compare with.
        candidate: Detections of the form in question.
        index: The data set both were evaluated on.
    """

    baseline: Artifact
    candidate: Artifact
    index: Artifact


@dataclass(frozen=True, kw_only=True)
class ClassDrift:
    """What happened to one class.

    Attributes:
        name: The class.
        ap50_loss_pt: Loss of AP50, in points; positive is worse.
        ci_pt: Its 95 % interval, in points.
    """

    name: str
    ap50_loss_pt: float
    ci_pt: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Drift of the candidate.

    Attributes:
        drift_pt: Loss of mAP50-95, in points; positive is worse.
        drift_ci_pt: Its 95 % interval, in points; (-100, 100) where the pictures are too few to tell.
        classes: Those that have boxes.
    """

    drift_pt: float
    drift_ci_pt: tuple[float, float]
    classes: tuple[ClassDrift, ...]


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Compare by a paired bootstrap over pictures (design decision D6).

    Attributes:
        resamples: Draws of the validation pictures, with replacement.
        seed: Of the draws.
    """

    name: ClassVar[str] = "verify"
    resumes: ClassVar[bool] = False

    resamples: int = 1000
    seed: int = 0

    def run(self, inputs: CompareInputs, out: Path, progress: Progress) -> Compared:
        """Give losses and their intervals; writes nothing.

        Raises:
            DataError: The detections are missing, broken, or of another data set.
        """
        del out
        from stages.dataset import load_dataset
        from stages.evaluation.bootstrap import bootstrap
        from stages.evaluation.detect import load_detections
        from stages.evaluation.matching import match

        dataset = load_dataset(inputs.index)
        baseline, candidate = (
            match(
                load_detections(folder, pictures=len(dataset.val)),
                dataset.val,
                classes=len(dataset.class_names),
            )
            for folder in (inputs.baseline, inputs.candidate)
        )
        progress(0, 1, "resampling")
        losses = bootstrap(baseline, candidate, resamples=self.resamples, seed=self.seed)
        progress(1, 1)
        return Compared(
            drift_pt=losses.map50_95.loss_pt,
            drift_ci_pt=losses.map50_95.interval_pt,
            classes=tuple(
                ClassDrift(name=name, ap50_loss_pt=loss.loss_pt, ci_pt=loss.interval_pt)
                for name, loss in zip(dataset.class_names, losses.ap50, strict=True)
                if loss is not None
            ),
        )
