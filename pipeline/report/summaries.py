"""What the report says of data and training, from the results of these stages."""

from __future__ import annotations

import math

from pipeline.ladder import ClassCount, DataSummary, Epoch
from stages.data import Prepared
from stages.train import Trained


def data_summary(prepared: Prepared) -> DataSummary:
    """Give the data set in figures."""
    counts = prepared.summary.classes
    return DataSummary(
        train=prepared.train_pictures,
        val=prepared.val_pictures,
        calibration=prepared.calibration_pictures,
        classes=tuple(ClassCount(name=c.name, train=c.train_boxes, val=c.val_boxes) for c in counts),
        warnings=prepared.notes,
    )


def epochs(trained: Trained) -> tuple[Epoch, ...]:
    """Give the training curve; an epoch that was not validated has no mAP."""
    return tuple(
        Epoch(
            epoch=one.epoch,
            map50_95=_known(one.map50_95),
            map50=_known(one.map50),
            losses={"box": _known(one.box_loss), "class": _known(one.cls_loss), "dfl": _known(one.dfl_loss)},
        )
        for one in trained.epochs
    )


def _known(value: float | None) -> float:
    return math.nan if value is None else value
