"""Resume: all of a trainer's state that outlives a process, out of it and into another."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from stages.train import EpochMetrics, PeakMemory
from stages.train.memory import peak_memory
from stages.train.qat import rounded_of
from targets.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch

    from stages.train.trainer import Trainer

Tensors = dict[str, "torch.Tensor"]


def state_of(trainer: Trainer) -> dict[str, Any]:
    """Give what a snapshot holds: tensors in FP32, numbers, text, and dicts and lists of these.

    There is no state of random generators: all that is random depends on the seed and the epoch.
    """
    stopper = trainer.stopper
    return {
        "epoch": trainer.epoch,
        "finished": bool(trainer.stop),
        "history": [asdict(metrics) for metrics in trainer.history],
        "best_epoch": trainer.best_epoch,
        "best_map": trainer.best_map,
        "fitness": None if trainer.fitness is None else float(trainer.fitness),
        "stopper": {
            "best_fitness": float(stopper.best_fitness or 0),
            "best_epoch": stopper.best_epoch,
            "possible_stop": bool(stopper.possible_stop),
        },
        "model": trainer.raw_model.state_dict(),
        "ema": trainer.ema.ema.state_dict(),
        "rounded": rounded_of(trainer.ema.ema),
        "updates": trainer.ema.updates,
        "optimizer": trainer.optimizer.state_dict(),
        "scaler": trainer.scaler.state_dict(),
        "pending": trainer.pending,
        "gradients": _gradients(trainer) if trainer.pending else {},
        "buffer": list(trainer.train_loader.dataset.buffer),
        "device": trainer.device_name,
        "precision": trainer.mode.precision,
        "probe": [asdict(one) for one in trainer.probe],
        "batch": trainer.batch_size,
        "asked_batch": trainer.asked_batch,
        "effective_batch": trainer.effective_batch,
        "memory": asdict(peak_memory(trainer.device, _memory(trainer.course.state))),
        "feeding": trainer.feeder.state_of(trainer),
        "notes": [*trainer.course.notes, *(one.lost for one in trainer.course.trackers if one.lost)],
    }


def _memory(state: Mapping[str, Any] | None) -> PeakMemory | None:
    return PeakMemory(**state["memory"]) if state else None


def _gradients(trainer: Trainer) -> Tensors:
    return {
        name: parameter.grad
        for name, parameter in trainer.raw_model.named_parameters()
        if parameter.grad is not None
    }


def restore(trainer: Trainer, state: Mapping[str, Any]) -> None:
    """Put a snapshot's state into a trainer that is set up.

    Raises:
        ModelError: The snapshot is of another model.
    """
    check_same_model(state["model"], trainer.raw_model.state_dict(), trainer.course.snapshots.folder)
    trainer.start_epoch = state["epoch"] + 1
    trainer.history = [EpochMetrics(**metrics) for metrics in state["history"]]
    trainer.best_epoch, trainer.best_map = state["best_epoch"], state["best_map"]
    trainer.best_fitness, trainer.fitness = state["best_map"], state["fitness"]
    trainer.stopper.__dict__.update(state["stopper"])
    trainer.raw_model.load_state_dict(state["model"])
    trainer.ema.ema.load_state_dict(state["ema"])
    trainer.ema.updates = state["updates"]
    trainer.optimizer.load_state_dict(state["optimizer"])
    trainer.scaler.load_state_dict(state["scaler"])
    # Of a batch that has been halved since, there are twice as many.
    trainer.pending = round(state["pending"] * state["batch"] / trainer.batch_size)
    model = trainer.raw_model
    if model.end2end:  # the weights of the two heads' losses shift with the epochs
        model.criterion.updates = trainer.start_epoch - 1
        model.criterion.update()
    if trainer.args.close_mosaic and trainer.start_epoch > trainer.epochs - trainer.args.close_mosaic:
        trainer._close_dataloader_mosaic()  # noqa: SLF001  (Ultralytics has no other name for it)
    for number in state["buffer"]:  # pictures that mosaics may take from
        trainer.train_loader.dataset.load_image(number)


def give_gradients(trainer: Trainer, gradients: Mapping[str, torch.Tensor]) -> None:
    """Put back gradients that were summed up but had not led to a step yet."""
    for name, parameter in trainer.raw_model.named_parameters():
        if name in gradients:
            parameter.grad = gradients[name].to(parameter.device, copy=True)


def check_same_model(saved: Tensors, model: Tensors, folder: Path) -> None:
    """See that a snapshot is of this very architecture.

    Raises:
        ModelError: It is not.
    """
    others = [
        name for name, tensor in model.items() if name not in saved or saved[name].shape != tensor.shape
    ]
    if not others and saved.keys() == model.keys():
        return
    first = (others or sorted(saved.keys() - model.keys()))[0]
    raise ModelError(
        f"The snapshots in {folder} are of another model: {first} differs, and {len(others)} of"
        f" {len(model)} tensors.",
        hint="Remove that folder to train anew, or start from the weights that it was made with.",
    )
