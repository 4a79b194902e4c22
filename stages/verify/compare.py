"""Compare: how much worse one form is than another, how sure that is, and what mAP does not show of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from stages.artifact import Artifact
from stages.evaluation.scores import Changes, Deployed, Losses, SizeLoss, ThresholdShift, TrueScores
from stages.stage import Progress
from targets.model import load_model_spec

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from stages.dataset import Dataset
    from stages.evaluation.detect import Detections


@dataclass(frozen=True, kw_only=True)
class CompareInputs:
    """Two forms' detections on the same pictures.

    Attributes:
        baseline: Detections of the form to compare with.
        candidate: Detections of the form in question.
        index: The data set both were evaluated on.
        model: The form in question, whose `model.json` has the deployed confidence; None takes the setting.
    """

    baseline: Artifact
    candidate: Artifact
    index: Artifact
    model: Artifact | None = None


@dataclass(frozen=True, kw_only=True)
class ClassDrift:
    """What happened to one class.

    Attributes:
        name: The class.
        ap50_loss_pt: Loss of AP50, in points; positive is worse.
        ci_pt: Its 95 % interval, in points.
        spread_pt: Its standard deviation over resamples, in points.
    """

    name: str
    ap50_loss_pt: float
    ci_pt: tuple[float, float]
    spread_pt: float


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Drift of the candidate, and what is behind it.

    Attributes:
        drift_pt: Loss of mAP50-95, in points; positive is worse.
        drift_ci_pt: Its 95 % interval, in points; (-100, 100) where the pictures are too few to tell.
        spread_pt: Its standard deviation over resamples, in points: what `pictures_needed` wants.
        classes: Those that have boxes.
        sizes: Those that have boxes.
        threshold: The F1-optimal confidence.
        deployed: Precision and recall at the deployed confidence.
        true_scores: How the scores of right detections are distributed.
        changes: What was lost and gained, box by box, and on which pictures.
    """

    drift_pt: float
    drift_ci_pt: tuple[float, float]
    spread_pt: float
    classes: tuple[ClassDrift, ...]
    sizes: tuple[SizeLoss, ...]
    threshold: ThresholdShift
    deployed: Deployed
    true_scores: TrueScores
    changes: Changes


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Compare by a paired bootstrap over pictures (design decision D6).

    Attributes:
        resamples: Draws of the validation pictures, with replacement.
        seed: Of the draws.
        conf: Deployed confidence of a model that was not given, 0 to 1.
        worst: Pictures to name, those that changed most.
    """

    name: ClassVar[str] = "verify"
    resumes: ClassVar[bool] = False

    resamples: int = 1000
    seed: int = 0
    conf: float = 0.25
    worst: int = 12

    def run(self, inputs: CompareInputs, out: Path, progress: Progress) -> Compared:
        """Give losses and their intervals; writes nothing.

        Raises:
            DataError: The detections are missing, broken, of another data set, or not finite.
            ModelError: The form's `model.json` cannot be read.
        """
        del out
        from stages.dataset import load_dataset
        from stages.evaluation.bootstrap import check_pair, compare_precisions, draw
        from stages.evaluation.changes import list_changes
        from stages.evaluation.deployed import compare_at, compare_true_scores
        from stages.evaluation.detect import load_detections
        from stages.evaluation.f1 import compare_f1_thresholds
        from stages.evaluation.matching import match

        conf = load_model_spec(inputs.model.path).conf if inputs.model else self.conf
        dataset = load_dataset(inputs.index)
        found = [
            load_detections(folder, pictures=len(dataset.val))
            for folder in (inputs.baseline, inputs.candidate)
        ]
        baseline, candidate = (match(one, dataset.val, classes=len(dataset.class_names)) for one in found)
        check_pair(baseline, candidate)
        weights = draw(len(dataset.val), self.resamples, seed=self.seed)
        progress(0, 4, "resampling")
        losses = compare_precisions(baseline, candidate, weights)
        progress(1, 4, "resampling by size")
        sizes = _compare_sizes(found, dataset, weights)
        progress(2, 4, "resampling thresholds")
        threshold = compare_f1_thresholds(baseline, candidate, weights)
        progress(3, 4, "looking for what changed")
        compared = Compared(
            drift_pt=losses.map50_95.loss_pt,
            drift_ci_pt=losses.map50_95.interval_pt,
            spread_pt=losses.map50_95.spread_pt,
            classes=_list_classes(losses, dataset),
            sizes=sizes,
            threshold=threshold,
            deployed=compare_at(conf, baseline, candidate, weights),
            true_scores=compare_true_scores(baseline, candidate),
            changes=list_changes(
                found[0], found[1], dataset.val, weights=weights, conf=conf, worst=self.worst
            ),
        )
        progress(4, 4)
        return compared


def _list_classes(losses: Losses, dataset: Dataset) -> tuple[ClassDrift, ...]:
    return tuple(
        ClassDrift(name=name, ap50_loss_pt=loss.loss_pt, ci_pt=loss.interval_pt, spread_pt=loss.spread_pt)
        for name, loss in zip(dataset.class_names, losses.ap50, strict=True)
        if loss is not None
    )


def _compare_sizes(
    found: Sequence[Detections], dataset: Dataset, weights: NDArray[np.uint16]
) -> tuple[SizeLoss, ...]:
    """Compare on small, medium and large boxes, as far as there are any."""
    from stages.evaluation.bootstrap import compare_precisions
    from stages.evaluation.matching import SIZES_PX2, match

    classes = len(dataset.class_names)
    sizes = []
    for name, areas_px2 in SIZES_PX2.items():
        baseline, candidate = (match(one, dataset.val, classes=classes, areas_px2=areas_px2) for one in found)
        boxes = sum(int(one.boxes.sum()) for one in baseline)
        if boxes:
            losses = compare_precisions(baseline, candidate, weights)
            sizes.append(
                SizeLoss(
                    name=name,
                    boxes=boxes,
                    baseline=losses.baseline,
                    candidate=losses.candidate,
                    loss=losses.map50_95,
                )
            )
    return tuple(sizes)
