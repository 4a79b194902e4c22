"""Snapshots: all that training needs to go on after a kill, in files that are whole or not there."""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Tensors = dict[str, torch.Tensor]
KEPT = 2  # the last one, and the one before in case the disk spoiled the last
DAMAGE = (OSError, EOFError, IndexError, KeyError, RuntimeError, ValueError, pickle.UnpicklingError)


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
        with partial.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.folder / name)

    def _prune(self, kind: str) -> None:
        """Keep the newest; two snapshots in a row name at most the two newest best weights."""
        for path in sorted(self.folder.glob(f"{kind}-*.pt"))[:-KEPT]:
            path.unlink()
