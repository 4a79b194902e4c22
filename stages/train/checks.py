"""Checks: do the settings of training, the weights and the data set go together?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stages.train.devices import devices_of
from targets.errors import UsageError

if TYPE_CHECKING:
    from stages.train import Train
    from stages.train.start import Start


def check_settings(stage: Train, start: Start) -> None:
    """See that the settings fit the weights, and each other.

    Raises:
        UsageError: They do not.
    """
    stride = int(start.module.stride.max())
    if stage.imgsz < 2 * stride or stage.imgsz % stride:
        near = max(2, round(stage.imgsz / stride)) * stride
        raise UsageError(
            f"`train.imgsz: {stage.imgsz}` does not fit {start.family}: its input is a multiple of {stride}.",
            hint=f"Set train.imgsz to {near}.",
        )
    ranks = max(stage.ranks, len(devices_of(stage.device)))
    if isinstance(stage.batch, int) and stage.batch % ranks and stage.batch > 0:
        raise UsageError(
            f"`train.batch: {stage.batch}` cannot be shared out among {ranks} ranks.",
            hint=f"Set train.batch to {max(round(stage.batch / ranks), 1) * ranks}, over all ranks.",
        )
    if stage.epochs == 0 and not start.names:
        raise UsageError(
            "`train.epochs: 0` takes the weights as they are, but a model description has none.",
            hint="Give a .pt as model.weights, or train for at least one epoch.",
        )


def check_names(start: Start, class_names: tuple[str, ...]) -> None:
    """See that weights that are not to be trained know the classes of the data set.

    Raises:
        UsageError: They know others.
    """
    if start.names == class_names:
        return
    if len(start.names) != len(class_names):
        what = f"the weights know {len(start.names)} classes, the data set has {len(class_names)}"
    else:
        place = next(i for i, name in enumerate(class_names) if name != start.names[i])
        what = f"class {place} is {start.names[place]!r} there and {class_names[place]!r} in the data set"
    raise UsageError(
        f"`train.epochs: 0` takes the weights as they are, but {what}.",
        hint="Train for some epochs, or correct `names` in the data YAML.",
    )
