"""Parallel: several processes that train one model, each on its part of every batch."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch

from stages.train.devices import devices_of

if TYPE_CHECKING:
    from collections.abc import Mapping

# A rank that waits longer than this for the others will wait for ever; validation is the longest wait.
TIMEOUT = timedelta(minutes=30)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a process stands among those that train together.

    Attributes:
        rank: From 0, over all machines.
        ranks: How many there are.
        local_rank: From 0, on its machine.
        local_ranks: How many there are on its machine.
    """

    rank: int = 0
    ranks: int = 1
    local_rank: int = 0
    local_ranks: int = 1

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Place:
        """Give what torchrun says of this process."""
        return cls(
            rank=int(environment.get("RANK", 0)),
            ranks=int(environment.get("WORLD_SIZE", 1)),
            local_rank=int(environment.get("LOCAL_RANK", 0)),
            local_ranks=int(environment.get("LOCAL_WORLD_SIZE", 1)),
        )


ALONE = Place()


def join(place: Place, device: str) -> torch.device:
    """Meet the other ranks, and give this one's device: a GPU each, or the CPU for all."""
    numbers = devices_of(device)
    if not numbers:
        torch.distributed.init_process_group("gloo", timeout=TIMEOUT)
        return torch.device("cpu")
    mine = torch.device("cuda", numbers[place.local_rank])
    torch.cuda.set_device(mine)
    torch.distributed.init_process_group("nccl", timeout=TIMEOUT, device_id=mine)
    return mine


def leave() -> None:
    """Part from the other ranks, if there were any."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def wrap(model: Any, place: Place, device: torch.device) -> Any:
    """Make the gradients of all ranks one; as Ultralytics does, except that it has no CPUs."""
    if place.ranks == 1:
        return model
    distributed = torch.nn.parallel.DistributedDataParallel
    names = inspect.signature(distributed).parameters
    # What BatchNorm counts stays a rank's own; PyTorch 2.13 gave the switch another name.
    buffers = "forward_sync_buffers" if "forward_sync_buffers" in names else "broadcast_buffers"
    return distributed(
        model,
        device_ids=[device.index] if device.type == "cuda" else None,
        find_unused_parameters=True,
        **{buffers: False},
    )


def agree(value: Any, place: Place) -> Any:
    """Give rank 0's value to all."""
    if place.ranks == 1:
        return value
    box = [value]
    torch.distributed.broadcast_object_list(box, 0)
    return box[0]


def smallest(value: int, place: Place) -> int:
    """Give the smallest of all ranks' values."""
    if place.ranks == 1:
        return value
    values = [0] * place.ranks
    torch.distributed.all_gather_object(values, value)
    return min(values)
