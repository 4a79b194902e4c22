"""Train: pretrained weights, or a model description, and a data set become a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Lt, MultipleOf

from stages.artifact import Artifact
from stages.stage import Progress
from stages.train.figures import (
    EpochMetrics,
    Feeding,
    LoaderTrial,
    LoadingParts,
    PeakMemory,
    PictureCache,
    Precision,
    PrecisionProbe,
    Tuning,
)
from stages.train.overrides import check_overrides

__all__ = [
    "EpochMetrics",
    "Feeding",
    "LoaderTrial",
    "LoadingParts",
    "PeakMemory",
    "PictureCache",
    "Precision",
    "PrecisionProbe",
    "Tracking",
    "Train",
    "TrainInputs",
    "Trained",
    "Tuning",
    "check_overrides",
]

Optimizer = Literal["auto", "SGD", "MuSGD", "Adam", "Adamax", "AdamW", "NAdam", "RAdam", "RMSprop"]


@dataclass(frozen=True, kw_only=True)
class TrainInputs:
    """What training starts from.

    Attributes:
        index: Prepared data set.
        pictures: Root of its pictures.
        weights: A checkpoint of Ultralytics (`.pt`), a model description (`.yaml`), or the folder of one of
            our checkpoints, as `prune` leaves it.
        teacher: Checkpoint whose features the model is to learn too; of the same classes.
        modules: Packages of the user that define modules of the model.
        modules_digest: Of their source, so that a change of it is noticed.
    """

    index: Artifact
    pictures: Artifact
    weights: Artifact
    teacher: Artifact | None = None
    modules: tuple[str, ...] = ()
    modules_digest: str = ""


@dataclass(frozen=True, kw_only=True)
class Tracking:
    """Other tools that are to show how training goes; each is an extra of this package.

    Attributes:
        tensorboard: Folder for event files.
        mlflow: Tracking URI, as `http://server:5000` or `sqlite:///mlflow.db`.
    """

    tensorboard: str = ""
    mlflow: str = ""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The trained model.

    Attributes:
        checkpoint: As `stages.checkpoint` writes it.
        epochs: One entry an epoch.
        best_epoch: The epoch whose weights were taken, from 1; 0 for weights as they came.
        device: Where it was trained; empty if it was not.
        notes: What a person should know, a sentence each.
        ranges: As `stages.learned` writes them; None without `int8`.
        precision: In which it was trained; empty if it was not.
        batch: Pictures at once, over all ranks; smaller than asked for where memory ran out.
        asked_batch: Pictures at once that were asked for or, with `auto`, found to fit.
        effective_batch: Pictures to an optimizer step, after warm-up.
        memory: At its peak.
        probe: Of precisions, where `amp` was to be chosen.
        metrics: Folder with the figures of steps and epochs, as JSON lines.
        feeding: How long training waited for pictures; None if it was not measured.
    """

    checkpoint: Artifact
    epochs: tuple[EpochMetrics, ...]
    best_epoch: int
    device: str
    notes: tuple[str, ...]
    ranges: Artifact | None = None
    precision: Precision | Literal[""] = ""
    batch: int = 0
    asked_batch: int = 0
    effective_batch: int = 0
    memory: PeakMemory | None = None
    probe: tuple[PrecisionProbe, ...] = ()
    metrics: Artifact | None = None
    feeding: Feeding | None = None


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train with Ultralytics.

    Attributes:
        epochs: Times that all pictures are seen; 0 takes the weights as they are.
        steps: Optimizer steps instead of epochs: as many epochs as these take, with one step a batch.
            Of few pictures, epochs make few steps: with Ultralytics' nominal batch of 64, six epochs of 82
            pictures are eight.
        imgsz: Side of the square input, in pixels; a multiple of 32, the stride of all YOLOs.
        batch: Pictures at once, over all ranks; `auto` (or -1) takes what the GPU has room for. Where memory
            runs out, half as many are taken at once, and as many as before to an optimizer step.
        max_batch: No more than this with `auto`; 0 is no bound.
        device: `cpu`, the number of a GPU, or several as `0,1`; empty takes a GPU if there is one.
        ranks: Processes that train together, on this machine and others; several GPUs are as many.
        seed: Of all that is random.
        amp: Precision of training on a GPU: `auto` (or true) tries which is fastest and agrees with FP32;
            `fp32` (or false) has TF32 off, `fp16` and `bf16` are mixed. On a CPU it is FP32.
        optimizer: `auto` chooses by the length of the training, and its own learning rate.
        lr0: Learning rate at the start.
        patience: Stop after so many epochs without a better mAP; 0 never stops.
        workers: Processes that load pictures, with a GPU.
        cache: Where to keep decoded pictures, if at all: `disk` is the work folder, `resized` keeps them
            there as large as training takes them.
        autotune_loader: Try other settings of loading for up to a minute, and train with the fastest. On a
            CPU only those are tried that leave the weights as they would be.
        overrides: Any other setting of Ultralytics' training, as `mosaic` or `nbs`.
        weights: Name of the weights as the user gave it, for the size in `yolo11n.yaml`; the plan fills it.
        distill_weight: Of the loss against the teacher's features, where there is a teacher; the default is
            Ultralytics' own.
        int8: Round weights and inputs to 8 bits while training, for a model that is to run so; the plan
            sets it.
        tracking: Where else the figures of training are to go.
    """

    name: ClassVar[str] = "train"
    resumes: ClassVar[bool] = True
    __pydantic_config__: ClassVar = {"coerce_numbers_to_str": True}  # `device: 0` needs no quotes

    epochs: Annotated[int, Ge(0)] = 100
    imgsz: Annotated[int, Ge(64), MultipleOf(32)] = 640
    batch: Annotated[int, Ge(1)] | Literal["auto", -1] = 16
    max_batch: Annotated[int, Ge(0)] = 0
    device: str = ""
    ranks: Annotated[int, Ge(1)] = 1
    seed: Annotated[int, Ge(0), Lt(2**32)] = 0
    amp: bool | Literal["auto", "fp32", "tf32", "fp16", "bf16"] = "auto"
    optimizer: Optimizer = "auto"
    lr0: Annotated[float, Gt(0)] = 0.01
    patience: Annotated[int, Ge(0)] = 100
    workers: Annotated[int, Ge(0)] = 8
    cache: PictureCache = ""
    autotune_loader: bool = False
    overrides: Mapping[str, object] = field(default_factory=dict)
    weights: str = ""
    steps: Annotated[int, Ge(0)] = 0
    distill_weight: Annotated[float, Gt(0)] = 6.0
    int8: bool = False
    tracking: Tracking = field(default_factory=Tracking)

    def run(self, inputs: TrainInputs, out: Path, progress: Progress) -> Trained:
        """Train, going on where an interrupted run left `out`.

        Raises:
            UsageError: A setting is wrong, or the weights do not fit the data set.
            ModelError: The weights cannot be read, or are no detector.
            EdgeboundError: The loss is not a number any more, memory ran out, or a loading process died.
        """
        check_overrides(self.overrides)
        from stages.train.session import train

        return train(self, inputs, out, progress)
