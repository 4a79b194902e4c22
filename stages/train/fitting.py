"""Fitting: how many pictures at once, and in which precision, by trying on the device that is to train."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

import torch

from stages.train import PrecisionProbe
from stages.train.memory import MOST, crowded_batch, largest_batch, largest_side, step_peak
from stages.train.parallel import agree, smallest
from stages.train.precisions import ALL, Mode, fastest, make_step, probe_precisions

if TYPE_CHECKING:
    from stages.train.trainer import Trainer

DEFAULT_BATCH = 16  # Ultralytics'
MOSAIC = 4  # pictures to a mosaic
MOST_OBJECTS = 1000  # in a picture; a mosaic crops, and nobody's hold so many after it
PROBE_STEPS = 10


def fit_batch(trainer: Trainer) -> int:
    """Give the largest batch of all ranks together, with pictures as large and as full as they may come."""
    dataset, place = trainer.course.dataset, trainer.course.place
    most = min(trainer.course.max_batch or MOST * place.ranks, len(dataset.train)) // place.ranks
    ceiling = max(most, 1)  # of this rank
    if trainer.device.type != "cuda":
        return min(max(DEFAULT_BATCH // place.ranks, 1), ceiling) * place.ranks
    precision = next((one for one in ALL if one == trainer.course.amp), ALL[2])
    step = make_step(trainer.model, Mode(precision, "cuda"))
    classes, device = trainer.data["nc"], trainer.device
    side = largest_side(trainer.args.imgsz, trainer.args.multi_scale, trainer.stride)
    fullest = max((len(picture.boxes) for picture in dataset.train), default=1)
    objects = max(min(MOSAIC * fullest, MOST_OBJECTS), 1)

    def one_step(batch: int) -> None:
        step(crowded_batch(batch, side=side, objects=objects, classes=classes, device=device))

    free, _ = torch.cuda.mem_get_info(trainer.device)
    room = free + torch.cuda.memory_reserved(trainer.device)
    fits = largest_batch(step_peak(one_step, trainer.device), room=room, ceiling=ceiling)
    return smallest(fits, place) * place.ranks


def choose_precision(trainer: Trainer) -> tuple[Mode, list[PrecisionProbe]]:
    """Give the precision to train in, and what was found out for it; a resumed run knows it already."""
    course, kind = trainer.course, trainer.device.type
    if course.state is not None:
        known = [PrecisionProbe(**one) for one in course.state["probe"]]
        return Mode(course.state["precision"], kind), known
    if course.amp != "auto":
        return Mode(course.amp, kind), []
    if kind != "cuda":
        return Mode("fp32", kind), []
    batch = first_batch(trainer)
    probes = probe_precisions(trainer.model, batch, device=trainer.device, steps=PROBE_STEPS)
    precision, probes = agree((fastest(probes), probes), course.place)
    return Mode(precision, kind), probes


def probe_trainer(trainer: Trainer, *, steps: int) -> tuple[list[PrecisionProbe], int]:
    """Try all precisions on a trainer that will not train; give the pictures at once too."""
    trainer._setup_train()  # noqa: SLF001  (Ultralytics has no other name for it)
    batch = first_batch(trainer)
    probes = probe_precisions(trainer.model, batch, device=trainer.device, steps=steps)
    return probes, len(batch["img"])


def first_batch(trainer: Trainer) -> dict[str, Any]:
    """Give a batch of a rank, from a copy of the data set, so that the real one is as it was."""
    dataset = copy(trainer.train_loader.dataset)
    dataset.buffer, dataset.ims = [], list(dataset.ims)
    dataset.transforms = dataset.build_transforms(hyp=trainer.args)  # hold their data set
    size = min(trainer.train_loader.batch_size, len(dataset))
    pictures = [dataset[0, number] for number in range(size)]
    batch: dict[str, Any] = trainer.preprocess_batch(dataset.collate_fn(pictures))
    return batch
