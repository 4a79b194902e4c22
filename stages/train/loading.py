"""Loading: the data sets and loaders of a training, and of those that are tried before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stages.train.order import Order
from stages.train.pictures import Pictures

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from stages.dataset import Picture
    from stages.train.figures import PictureCache
    from stages.train.trainer import Trainer

PREFETCH = 4  # Ultralytics' own, for training


def pictures_of(
    trainer: Trainer,
    pictures: Sequence[Picture],
    *,
    links: Path,
    cache: PictureCache,
    batch: int | None,
    augment: bool,
) -> Pictures:
    """Give pictures as Ultralytics' trainer takes them."""
    return Pictures(
        pictures=pictures,
        root=trainer.course.pictures,
        links=links,
        seed=trainer.args.seed,
        imgsz=trainer.args.imgsz,
        batch_size=batch,
        augment=augment,
        hyp=trainer.args,
        rect=trainer.args.rect or not augment,
        cache=cache,
        stride=max(int(trainer.raw_model.stride.max()), 32),
        pad=0.0 if augment else 0.5,
        data=trainer.data,
        task="detect",
    )


def put_in_order(loader: Any, trainer: Trainer, *, prefetch: int) -> Any:
    """Give a loader our order of the pictures to train on, and so many batches ahead for each process."""
    place = trainer.course.place
    order = Order(len(loader.dataset), seed=trainer.args.seed, place=place, shuffle=not loader.dataset.rect)
    object.__setattr__(loader, "sampler", order)  # a loader lets nobody change it later
    loader.batch_sampler.sampler.sampler = order
    if loader.num_workers:
        loader.prefetch_factor = prefetch
    return loader
