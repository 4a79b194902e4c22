"""Feeder: what of a training's time goes into waiting for pictures, and what for."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch

from stages.train.figures import Cause, Feeding, LoadingParts, Tuning
from stages.train.parts import cause_of, measure_parts, say
from stages.train.utilisation import Utilisation, gpu_of
from stages.train.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stages.train.trainer import Trainer

STARVES = 0.1  # of the time
ENOUGH_S = 10.0  # measured; what takes less tells nothing, and is not worth an advice
_SPENT = 0.02  # of an epoch, on finding out why
_SPENT_S = (0.2, 3.0)  # at least and at most


class Feeder:
    """Sees how a training is fed.

    Attributes:
        watch: Of this epoch.
        utilisation: Of the GPU.
        parts: Of loading, once they had to be measured.
        tuning: Where it was asked for.
    """

    def __init__(self) -> None:
        self.watch = Watch()
        self.utilisation = Utilisation(None)
        self.parts: LoadingParts | None = None
        self.cause: Cause = ""
        self.says = ""
        self.tuning: Tuning | None = None

    def begin(self, trainer: Trainer) -> None:
        """Begin, or go on where a snapshot left off."""
        state = (trainer.course.state or {}).get("feeding", {})
        self.tuning = tuning_of(state.get("tuning"))
        self.utilisation = Utilisation(gpu_of(trainer.device), **state.get("busy", {}))
        if state.get("parts"):
            self.parts = LoadingParts(**state["parts"])
            self.cause, self.says = state["cause"], state["says"]

    def end_batch(self) -> None:
        """Take note that a batch is through; what is done about it afterwards is no computing."""
        self.watch.done()
        self.utilisation.look()

    @property
    def hint(self) -> str:
        """Say in two words that training starves, for those who watch it; the rest is in the report."""
        return f", waits for pictures: {self.cause}" if self.cause else ""

    @property
    def last(self) -> dict[str, float]:
        """Give the figures of the last batch."""
        waiting, computing = self.watch.last_ms
        return {"waiting_ms": round(waiting, 3), "computing_ms": round(computing, 3)}

    def explain(self, trainer: Trainer) -> None:
        """Find out what training waits for, if it waits for long and nobody asked yet.

        After validation, and before the next epoch seeds all that is random.
        """
        waiting, computing = _sums(trainer)
        whole = waiting + computing
        if self.parts or whole < ENOUGH_S or waiting <= STARVES * whole:
            return
        least, most = _SPENT_S
        loader = trainer.train_loader
        self.parts = measure_parts(
            loader.dataset,
            trainer.args,
            seconds=min(max(_SPENT * whole, least), most),
            pin=trainer.device.type == "cuda",
        )
        epochs = sum(one.computing_s > 0 for one in trainer.history)
        wanted = len(loader.dataset) / trainer.course.place.ranks * epochs / computing
        self.cause = cause_of(
            self.parts, wanted_img_s=wanted, workers=loader.num_workers, cpus=loading_cpus(trainer)
        )
        self.says = say(self.cause, self.parts, waiting=waiting / whole, wanted_img_s=wanted)
        if self.tuning is None:
            self.says += " `train.autotune_loader: true` tries settings of loading before training."

    def state_of(self, trainer: Trainer) -> dict[str, Any]:
        """Give what a snapshot holds of it."""
        loader = trainer.train_loader
        return {
            "workers": loader.num_workers,
            "prefetch": loader.prefetch_factor or 0,
            "cache": loader.dataset.kept,
            "parts": asdict(self.parts) if self.parts else None,
            "cause": self.cause,
            "says": self.says,
            "tuning": asdict(self.tuning) if self.tuning else None,
            "busy": {"seen": self.utilisation.seen, "total": self.utilisation.total},
        }


def feeding_of(state: Mapping[str, Any]) -> Feeding:
    """Give the result from the last snapshot."""
    found, busy = state["feeding"], state["feeding"]["busy"]
    return Feeding(
        waiting_s=sum(epoch["waiting_s"] for epoch in state["history"]),
        computing_s=sum(epoch["computing_s"] for epoch in state["history"]),
        workers=found["workers"],
        prefetch=found["prefetch"],
        cache=found["cache"],
        gpu_busy=busy["total"] / busy["seen"] if busy["seen"] else None,
        cause=found["cause"],
        says=found["says"],
        parts=LoadingParts(**found["parts"]) if found["parts"] else None,
        tuning=tuning_of(found["tuning"]),
    )


def tuning_of(found: Mapping[str, Any] | None) -> Tuning | None:
    """Read what `state_of` wrote of a search."""
    from pydantic import TypeAdapter

    return TypeAdapter(Tuning).validate_python(found) if found else None


def loading_cpus(trainer: Trainer) -> int:
    """Give how many processors a rank may have for loading; none on a CPU, which trains with them."""
    if trainer.device.type == "cpu":
        return 0
    mine: int = len(os.sched_getaffinity(0)) // trainer.course.place.local_ranks
    # Ultralytics' loader takes no more than its part of all processors for each GPU that it sees.
    gpus: int = max(torch.cuda.device_count(), 1)
    return max(min(mine, (os.cpu_count() or 1) // gpus), 1)


def _sums(trainer: Trainer) -> tuple[float, float]:
    """Give seconds of waiting and computing, over all epochs so far."""
    history = trainer.history
    return sum(one.waiting_s for one in history), sum(one.computing_s for one in history)
