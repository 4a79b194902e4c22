"""Trace: two recordings of a training step make a line for each allocation, and so any batch can be told."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stages.memory import Work
from stages.memory.allocator import CachingAllocator
from stages.memory.ledger import FREED, Event, Kernel
from stages.memory.step import Recorded
from targets.errors import ModelError


@dataclass(frozen=True)
class Trace:
    """A training step whose allocations grow with the batch.

    Attributes:
        changes: Key, bytes that are always taken, and bytes for each picture; FREED and 0 where given back.
        works: For one picture.
        kernels: Launched in one step.
    """

    changes: tuple[tuple[int, float, float], ...]
    works: tuple[Work, ...]
    kernels: int

    def at(self, batch: int) -> Iterator[Event]:
        """Give the events with `batch` pictures."""
        return ((key, round(fixed + batch * each)) for key, fixed, each in self.changes)

    def peak(self, batch: int, *, held: Sequence[int]) -> CachingAllocator:
        """Give the allocator after two steps.

        Args:
            batch: Pictures at once.
            held: Bytes of the tensors that stay: weights, EMA, optimizer state and gradients.
        """
        allocator = CachingAllocator()
        for key, size in enumerate(held):
            allocator.allocate(("held", key), size)
        for step in range(2):  # the second finds the segments of the first
            for key, size in self.at(batch):
                if size == FREED:
                    allocator.release((step, key))
                else:
                    allocator.allocate((step, key), size)
        return allocator


def fit(small: Recorded, large: Recorded) -> Trace:
    """Draw the lines through two recordings of one model.

    Raises:
        ModelError: They are not the same work with more pictures.
    """
    first, second = list(_in_order(small.events)), list(_in_order(large.events))
    alike = [key for key, _ in first] == [key for key, _ in second]
    if not alike or len(small.kernels) != len(large.kernels):
        raise ModelError(
            "The model or its loss does different work with more pictures, so its memory cannot be told.",
            hint="Measure on a GPU: `train.batch: auto` probes there.",
        )
    more = large.batch - small.batch
    changes = []
    for (key, low), (_, high) in zip(first, second, strict=True):
        each = (high - low) / more
        changes.append((key, low - each * small.batch, each))
    return Trace(changes=tuple(changes), works=_per_picture(small, large), kernels=len(large.kernels))


def _in_order(events: Sequence[Event]) -> Iterator[Event]:
    """Give what is given back at one time in the order of its keys; Python's order there is any."""
    freed: list[Event] = []
    for event in events:
        if event[1] == FREED:
            freed.append(event)
            continue
        yield from sorted(freed)
        freed.clear()
        yield event
    yield from sorted(freed)


def _per_picture(small: Recorded, large: Recorded) -> tuple[Work, ...]:
    """Sum up kernels by octaves of FLOP per byte: within one, what limits a card limits them all."""
    more = large.batch - small.batch
    octaves: dict[float, list[float]] = {}
    for low, high in zip(small.kernels, large.kernels, strict=True):
        flop, traffic = (high.flop - low.flop) / more, (high.traffic - low.traffic) / more
        total = octaves.setdefault(_octave(high), [0.0, 0.0])
        total[0] += flop
        total[1] += traffic
    return tuple(Work(flop=flop, traffic=traffic) for _, (flop, traffic) in sorted(octaves.items()))


def _octave(kernel: Kernel) -> float:
    return math.floor(math.log2(kernel.flop / kernel.traffic)) if kernel.flop else -math.inf
