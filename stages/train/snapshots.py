"""Snapshots: all that training needs to go on after a kill, in files that are whole or not there."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
from typing import TYPE_CHECKING, Any

import torch

from targets.errors import DiskFullError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Tensors = dict[str, torch.Tensor]
KEPT = 2  # the last one, and the one before in case the disk spoiled the last
# As many times the weights as all files take: of each kept one weights, EMA, two moments of Adam, gradients
# that are summed up and best weights; and one more while it is written.
WEIGHTS_KEPT = (KEPT + 1) * 6
DAMAGE = (OSError, EOFError, IndexError, KeyError, RuntimeError, ValueError, pickle.UnpicklingError)


def check_room(folder: Path, weights_bytes: int) -> None:
    """See that the disk has room for the snapshots of a model of this size.

    Raises:
        DiskFullError: It has not.
    """
    needed = weights_bytes * WEIGHTS_KEPT
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DiskFullError(
            f"The snapshots of training take {needed / 2**20:.0f} MiB, but the disk that holds {folder} has"
            f" {free / 2**20:.0f} MiB left.",
            hint="Free some space (`pipeline store gc` helps) and run the same command again.",
        )


def _explained(error: OSError, folder: Path) -> Exception:
    """Give what to say of a snapshot that could not be written; the last good one is still there."""
    if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
        return error
    return DiskFullError(
        f"The disk that holds {folder} is full; the snapshot before this one is still there.",
        hint="Free some space (`pipeline store gc` helps) and run the same command again, which goes on.",
    )


class Snapshots:
    """The snapshots of one training run, one an epoch, and the best weights so far.

    A snapshot names its best weights, so that the two never get out of step.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob("*.partial"):
            leftover.unlink()

    def save(self, epoch: int, state: Mapping[str, Any]) -> None:
        """Write the snapshot after `epoch`: tensors, numbers, text, and dicts and lists of these."""
        self._write(f"epoch-{epoch:05d}.pt", dict(state))
        self._prune("epoch")
        self._prune("best")

    def save_best(self, epoch: int, weights: Tensors) -> None:
        """Write the weights after `epoch`, which are the best so far; before its snapshot."""
        self._write(f"best-{epoch:05d}.pt", weights)

    def load(self) -> dict[str, Any] | None:
        """Give the newest snapshot that can be read; None where training starts anew."""
        for path in sorted(self.folder.glob("epoch-*.pt"), reverse=True):
            try:
                state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
                if state["best_epoch"]:
                    state["best"] = self._load_best(state["best_epoch"])
            except DAMAGE:
                path.unlink(missing_ok=True)
                continue
            return state
        return None

    def _load_best(self, epoch: int) -> Tensors:
        weights: Tensors = torch.load(
            self.folder / f"best-{epoch:05d}.pt", map_location="cpu", weights_only=True
        )
        return weights

    def _write(self, name: str, content: object) -> None:
        partial = self.folder / f"{name}.partial"
        try:
            with partial.open("wb") as file:
                torch.save(content, file)
                file.flush()
                os.fsync(file.fileno())
        except OSError as exc:
            partial.unlink(missing_ok=True)
            raise _explained(exc, self.folder) from exc
        partial.replace(self.folder / name)

    def _prune(self, kind: str) -> None:
        """Keep the newest; two snapshots in a row name at most the two newest best weights."""
        for path in sorted(self.folder.glob(f"{kind}-*.pt"))[:-KEPT]:
            path.unlink()
