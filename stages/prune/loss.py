"""Loss: what training would say about calibration pictures, batch by batch, as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from stages.artifact import Artifact
from stages.dataset import Picture, read_picture
from stages.prune.criteria import Losses
from stages.yolo import DEFAULT_CFG
from targets.errors import UsageError
from targets.model import ModelSpec
from targets.preprocess import letterbox

BATCH = 8
PICTURES = 128  # the order of the channels settles earlier; 128 of 320 px take a minute on two CPU cores


def calibration_losses(pictures: Sequence[Picture], root: Artifact, spec: ModelSpec) -> Losses:
    """Give a function from a detector to its loss on each batch of `pictures`.

    Args:
        pictures: The first 128 are used.
        root: Of their files.
        spec: How they become the model's input.

    Raises:
        UsageError: There are none.
    """
    if not pictures:
        raise UsageError(
            "`prune.criterion: taylor` looks at calibration pictures, but the data set has none.",
            hint="Set data.calibration_size above 0, or prune.criterion to magnitude.",
        )

    def losses(module: Any) -> Iterator[torch.Tensor]:
        module.args = DEFAULT_CFG
        module.criterion = module.init_criterion()
        try:
            for start in range(0, min(len(pictures), PICTURES), BATCH):
                batch = _batch(pictures[start : start + BATCH], root, spec)
                yield module.loss(batch)[0].sum()
        finally:
            module.criterion = None

    return losses


def _batch(pictures: Iterable[Picture], root: Artifact, spec: ModelSpec) -> dict[str, torch.Tensor]:
    """Give a batch as Ultralytics' losses take it: boxes as fractions of the letterboxed input."""
    images, classes, boxes, owners = [], [], [], []
    for number, picture in enumerate(pictures):
        image, placement = letterbox(read_picture(root, picture), spec.input)
        images.append(image)
        rows = picture.boxes[~picture.crowd]
        inner = np.array([placement.inner_width, placement.inner_height])
        border = np.array([placement.left_px, placement.top_px])
        size = np.array([spec.input.width, spec.input.height])
        centres = (rows[:, 1:3] * inner + border) / size
        boxes.append(np.concatenate([centres, rows[:, 3:5] * inner / size], 1))
        classes.append(rows[:, :1])
        owners.append(np.full(len(rows), number))
    return {
        "img": torch.from_numpy(np.concatenate(images)),
        "cls": torch.from_numpy(np.concatenate(classes)).float(),
        "bboxes": torch.from_numpy(np.concatenate(boxes)).float(),
        "batch_idx": torch.from_numpy(np.concatenate(owners)).float(),
    }
