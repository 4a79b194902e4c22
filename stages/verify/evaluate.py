"""Evaluate: run one form of the model over the validation pictures and score what it finds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from stages.artifact import Artifact
from stages.evaluation.scores import ClassScore, Curves
from stages.stage import Progress
from targets.errors import DataError
from targets.model import ModelSpec, load_model_spec
from targets.profile import RuntimeName, TargetProfile

if TYPE_CHECKING:
    from stages.dataset import Dataset
    from stages.evaluation.detect import Detections
    from targets.runtime import Infer

HERE = TargetProfile(name="here", device="this machine", runtime="onnxruntime")
"""Where forms run that are no engine of any target."""
MAX_COPIES = 8  # of a checkpoint: the largest YOLO takes 0.3 GiB in FP32


@dataclass(frozen=True, kw_only=True)
class EvaluateInputs:
    """A form, and what to judge it by.

    Attributes:
        model: A checkpoint, an ONNX folder or an engine, with its `model.json`.
        index: The prepared data set.
        pictures: The folder that its pictures are in.
        profile: Target of an engine; None for a form that belongs to no target.
        host: Fingerprint of the machine, where the result depends on it.
    """

    model: Artifact
    index: Artifact
    pictures: Artifact
    profile: TargetProfile | None
    host: str


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """How well the form finds what is there.

    Attributes:
        detections: `detections.npz`, see `stages.evaluation.detect.Detections`.
        map50_95: Mean over the classes that have boxes, 0 to 1.
        map50: Likewise, at IoU 0.5.
        classes: Those that have boxes.
        f1_threshold: Confidence at which the mean F1 at IoU 0.5 is best, 0 to 1.
        curves: Precision, F1 and scores.
        pictures: How many it was shown.
        notes: What a reader of these figures should know.
    """

    detections: Artifact
    map50_95: float
    map50: float
    classes: tuple[ClassScore, ...]
    f1_threshold: float
    curves: Curves
    pictures: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Evaluate as `yolo val` does; the same for all forms (design decision D2).

    Attributes:
        runtime: What runs the form; `pytorch` for a checkpoint.
        simulate: Compute an ONNX file in float, its rounding included, whatever kernels this machine has.
        conf: Score under which a detection is dropped, 0 to 1.
        iou: Overlap above which NMS drops the weaker box, 0 to 1.
        max_det: Detections kept per picture, or more where `model.json` says so.
    """

    name: ClassVar[str] = "verify"
    resumes: ClassVar[bool] = False

    runtime: RuntimeName | Literal["pytorch"]
    simulate: bool = False
    conf: float = 0.001
    iou: float = 0.7
    max_det: int = 300

    def run(self, inputs: EvaluateInputs, out: Path, progress: Progress) -> Evaluated:
        """Write the detections and give their scores.

        Raises:
            DataError: There is no validation picture, or none with a box; one cannot be read; or the data set
                has other classes than the model.
            ModelError: The model cannot be read, or does not answer as its `model.json` says.
        """
        from stages.dataset import load_dataset
        from stages.evaluation.detect import detect

        dataset = load_dataset(inputs.index)
        spec = load_model_spec(inputs.model.path)
        spec = replace(spec, conf=self.conf, iou=self.iou, max_det=max(self.max_det, spec.max_det))
        check_fit(spec, dataset)
        with self._open(inputs) as infers:
            found = detect(infers, spec, pictures=dataset.val, root=inputs.pictures, progress=progress)
        return evaluated(found, dataset, max_det=spec.max_det, out=out)

    @contextmanager
    def _open(self, inputs: EvaluateInputs) -> Iterator[list[Infer]]:
        """Load the form, as many times as it is to run at once. Engines use all cores by themselves."""
        profile = inputs.profile or HERE
        if self.runtime == "pytorch":
            with _open_copies(inputs.model) as infers:
                yield infers
        elif self.simulate:
            from stages.evaluation.simulation import open_simulation

            with open_simulation(inputs.model.path, profile) as infer:
                yield [infer]
        else:
            from targets.runtimes import find_runtime

            with find_runtime(self.runtime).open(inputs.model.path, profile) as infer:
                yield [infer]


def evaluated(found: Detections, dataset: Dataset, *, max_det: int, out: Path) -> Evaluated:
    """Score detections, and keep them in `out/detections`."""
    from stages.evaluation.coco import score

    scores = score(found, dataset, max_det=max_det)
    folder = out / "detections"
    folder.mkdir(parents=True)
    found.save(folder)
    return Evaluated(
        detections=Artifact.of(folder),
        map50_95=scores.map50_95,
        map50=scores.map50,
        classes=scores.classes,
        f1_threshold=scores.f1_threshold,
        curves=scores.curves,
        pictures=len(dataset.val),
        notes=_note_nonfinite(found.nonfinite, len(dataset.val)),
    )


@contextmanager
def _open_copies(checkpoint: Artifact) -> Iterator[list[Infer]]:
    """Load a checkpoint once a core, each copy with one thread.

    At batch 1 that is faster than one copy on all cores (yolo11n at 160 px on 2 busy cores: 22 against 27 ms
    a picture; 37 against 79 where OpenMP spins), and the result is the same on any number of cores.
    """
    import torch

    from stages.evaluation.pytorch import open_checkpoint

    copies = 1 if torch.cuda.is_available() else min(len(os.sched_getaffinity(0)), MAX_COPIES)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ExitStack() as stack:
            yield [stack.enter_context(open_checkpoint(checkpoint)) for _ in range(copies)]
    finally:
        torch.set_num_threads(threads)


def check_fit(spec: ModelSpec, dataset: Dataset) -> None:
    """See that a data set can judge a model.

    Raises:
        DataError: It has no validation picture, or other classes than the model.
    """
    if not dataset.val:
        raise DataError(
            "There are no validation pictures, so nothing can be measured.",
            hint="Name a folder with labelled pictures under `val:` in the data YAML.",
        )
    if len(spec.class_names) != len(dataset.class_names):
        raise DataError(
            f"The model knows {len(spec.class_names)} classes, the data set has {len(dataset.class_names)}"
            f" ({', '.join(dataset.class_names[:5])}{', …' if len(dataset.class_names) > 5 else ''}).",
            hint="Train the model on this data set (train.epochs above 0), or name one it was trained for.",
        )


def _note_nonfinite(nonfinite: int, pictures: int) -> tuple[str, ...]:
    if not nonfinite:
        return ()
    return (
        f"On {nonfinite} of {pictures} pictures the model answered NaN or infinity; that is no detection.",
    )
