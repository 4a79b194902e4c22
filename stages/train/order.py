"""Order: which picture comes when, and by which randomness; it depends on seed, epoch and rank alone.

So a run that goes on in the middle draws what it would have drawn, however many processes load its pictures.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import numpy as np
import torch

from stages.train.parallel import ALONE, Place

if TYPE_CHECKING:
    from collections.abc import Iterator

Key = tuple[int, int]
"""An epoch from 0, and the number of a picture."""


class Order(torch.utils.data.Sampler[Key]):  # type: ignore[misc]  # torch's types are not followed
    """The pictures of one rank, shuffled anew in each epoch; counts the epochs itself.

    Loading processes fetch ahead into the next epoch, so nobody else can tell it in time which one it is.

    Attributes:
        epoch: Of the next pass.
    """

    def __init__(self, pictures: int, *, seed: int, place: Place = ALONE, shuffle: bool = True) -> None:
        self.pictures = pictures
        self.seed = seed
        self.rank, self.ranks = place.rank, place.ranks
        self.shuffle = shuffle
        self.epoch = 0

    def __len__(self) -> int:
        """Give the pictures of a rank; as many for each, so some come twice where they do not divide."""
        return math.ceil(self.pictures / self.ranks)

    def __iter__(self) -> Iterator[Key]:
        """Pass through the pictures once."""
        epoch, self.epoch = self.epoch, self.epoch + 1
        numbers = list(range(self.pictures))
        if self.shuffle:
            generator = torch.Generator().manual_seed(mix(self.seed, epoch))
            numbers = torch.randperm(self.pictures, generator=generator).tolist()
        numbers += numbers[: len(self) * self.ranks - self.pictures]
        yield from ((epoch, number) for number in numbers[self.rank :: self.ranks])

    def set_epoch(self, epoch: int) -> None:
        """Take no notice: Ultralytics calls this when pictures of that epoch have been fetched already."""


def mix(*numbers: int) -> int:
    """Make one seed of 32 bits of several numbers, none of them negative."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def draw_from(seed: int) -> None:
    """Seed the generators that Ultralytics' augmentation draws from."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  (the global one is what it uses)
