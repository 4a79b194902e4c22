"""Loop: runs the trainer to its end, with fewer pictures at once where memory runs out."""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2

from stages.train.memory import free_memory, is_out_of_memory
from stages.train.precisions import tf32_kept
from stages.train.qat import strip
from stages.train.trainer import Trainer
from targets.errors import DataError, EdgeboundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from stages.train.course import Course
    from stages.train.start import Start

_WORKER = re.compile(r"DataLoader worker \(pid\(?s?\)? ([\d, ]+)\)")


def run_to_end(course: Course, start: Start, settings: dict[str, Any]) -> None:
    """Train `start.module`; the last snapshot then says how it went.

    Raises:
        UsageError: Ultralytics refuses a setting.
        EdgeboundError: Training diverged, one picture is too much for memory, or a loading process died.
    """
    fresh = {name: tensor.clone() for name, tensor in start.module.state_dict().items()}
    while True:
        trainer = make_trainer(course, settings)
        too_many = _attempt(trainer, start)
        if not too_many:
            return
        del trainer
        free_memory()
        _undo(start, fresh)
        settings = {**settings, "batch": _halved(too_many)}
        notes = (*course.notes, _note(too_many, settings["batch"]))
        course = replace(course, state=course.snapshots.load(), notes=notes)


def make_trainer(course: Course, settings: dict[str, Any]) -> Trainer:
    """Make a trainer, whose model is still to be set.

    Raises:
        UsageError: Ultralytics refuses a setting.
    """
    try:
        return Trainer(course, settings)
    except (TypeError, ValueError) as exc:
        raise UsageError(
            f"Ultralytics refuses the settings of `train`: {str(exc).splitlines()[0]}",
            hint="See https://docs.ultralytics.com/usage/cfg for the range of each.",
        ) from exc


def _attempt(trainer: Trainer, start: Start) -> int:
    """Train; give the pictures at once that were too many for memory, or 0 at the end."""
    trainer.model = start.module
    try:
        with _explained(trainer), _one_thread_of_opencv(), tf32_kept():
            trainer.train()
    except (RuntimeError, MemoryError) as exc:
        if not is_out_of_memory(exc) or trainer.course.place.ranks > 1:
            raise
        return max(int(trainer.batch_size), 1)
    finally:
        _end_loading(trainer)
    _clean(start)
    return 0


def _end_loading(trainer: Trainer) -> None:
    """End the processes that load pictures: PyTorch tells of a dead one again when the next of them ends."""
    for name in ("train_loader", "test_loader"):
        with suppress(RuntimeError):
            if hasattr(trainer, name):
                getattr(trainer, name).close()


def _halved(batch: int) -> int:
    if batch == 1:
        raise EdgeboundError(
            "Memory ran out with one picture a batch.",
            hint="Set train.imgsz lower, take a smaller model, or train on a GPU with more memory.",
        )
    return batch // 2


def _note(before: int, after: int) -> str:
    return (
        f"Memory ran out with {before} pictures at once, so training went on with {after},"
        " and as many as before to an optimizer step."
    )


def _clean(start: Start) -> None:
    start.module.criterion = None
    for layer in start.module.model:
        layer._forward_hooks.clear()  # noqa: SLF001  (those with which a teacher looked at features)


def _undo(start: Start, fresh: dict[str, torch.Tensor]) -> None:
    """Make the module what it was before training."""
    _clean(start)
    strip(start.module)
    start.module.cpu().load_state_dict(fresh)
    start.module.zero_grad(set_to_none=True)


@contextmanager
def _one_thread_of_opencv() -> Iterator[None]:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(0)  # its threads do not survive the fork of the loading processes
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


@contextmanager
def _explained(trainer: Trainer) -> Iterator[None]:
    """Turn what happens to loading processes into our errors."""
    try:
        yield
    except RuntimeError as exc:
        died = _WORKER.search(str(exc))
        if died is None:
            raise
        raise EdgeboundError(
            f"A process that loads pictures (pid {died.group(1)}) died while training"
            f" {trainer.epoch + 1} of {trainer.epochs} epochs: {_how(str(exc))}.",
            hint="Most often main memory or /dev/shm is full: set train.workers lower."
            " The same command goes on from the last snapshot.",
        ) from exc
    except FileNotFoundError as exc:
        raise DataError(
            f"A picture cannot be read while training: {exc}",
            hint="See that the disk or the share with the pictures is there; the same command then goes on.",
        ) from exc


def _how(message: str) -> str:
    killed = re.search(r"killed by signal: ([\w ]+)", message)
    return f"killed by a signal ({killed.group(1).strip()})" if killed else "it ended without a word"
