"""Tracking: the figures of training as they come, as JSON lines, and where the user says, in other tools."""

from __future__ import annotations

import importlib
import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from targets.errors import EdgeboundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from stages.train import EpochMetrics, Tracking

EXPERIMENT = "edgebound"
METRICS = "metrics.jsonl"
_MLFLOW = {  # it tells its makers nothing, and a server that is not there does not hold up training
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
STEPS_AN_EPOCH = 50  # lines; a week of training must not fill the disk with them


class Tracker(Protocol):
    """Who takes note of figures.

    Attributes:
        lost: Why it takes note no more; empty while it does. Training of days does not end for it.
    """

    lost: str

    def steps(self, step: int, figures: Mapping[str, float]) -> None:
        """Take note of a step, counted from 1 over all epochs."""

    def epoch(self, metrics: EpochMetrics) -> None:
        """Take note of an epoch."""

    def close(self) -> None:
        """Write what is not written yet."""


class MetricStream:
    """A file of one JSON object a line, which can be read while training goes on."""

    lost = ""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / METRICS
        self._file = self.path.open("a", encoding="utf-8")

    def rewind(self, epochs: int) -> None:
        """Forget what came after so many epochs: it will come again."""
        self._file.close()
        lines = self.path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if _epoch_of(line) <= epochs]
        self.path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        self._file = self.path.open("a", encoding="utf-8")

    def steps(self, step: int, figures: Mapping[str, float]) -> None:
        """Add a line with `step`."""
        self._add({"step": step, **figures})

    def epoch(self, metrics: EpochMetrics) -> None:
        """Add a line without `step`."""
        self._add(asdict(metrics))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _add(self, record: Mapping[str, object]) -> None:
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()


def _epoch_of(line: str) -> float:
    """Give the epoch of a line; one that a kill cut short belongs to none that is kept."""
    try:
        return float(json.loads(line)["epoch"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


class TensorBoard:
    """An event file in a folder of the user's."""

    lost = ""

    def __init__(self, folder: str) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(folder)

    def steps(self, step: int, figures: Mapping[str, float]) -> None:
        """Add a point to each curve under `step/`."""
        for name, value in figures.items():
            self._writer.add_scalar(f"step/{name}", value, step)

    def epoch(self, metrics: EpochMetrics) -> None:
        """Add a point to each curve under `epoch/`."""
        for name, value in _measured(metrics).items():
            self._writer.add_scalar(f"epoch/{name}", value, metrics.epoch)

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


class Mlflow:
    """A run on a tracking server, or in a database that MLflow knows how to write."""

    def __init__(self, uri: str, settings: Mapping[str, object]) -> None:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        self.lost = ""
        self._error = MlflowException
        try:
            self._client = MlflowClient(tracking_uri=uri)
            known = self._client.get_experiment_by_name(EXPERIMENT)
            experiment = known.experiment_id if known else self._client.create_experiment(EXPERIMENT)
            self._run = self._client.create_run(experiment).info.run_id
            for name, value in settings.items():
                self._client.log_param(self._run, name, value)
        except MlflowException as exc:
            raise EdgeboundError(
                f"MLflow cannot track at {uri}: {str(exc).splitlines()[0]}",
                hint="Correct train.tracking.mlflow, start the server, or leave it out.",
            ) from exc

    def steps(self, step: int, figures: Mapping[str, float]) -> None:
        """Log a value for each metric under `step/`."""
        self._log("step", figures, step)

    def epoch(self, metrics: EpochMetrics) -> None:
        """Log a value for each metric under `epoch/`."""
        self._log("epoch", _measured(metrics), metrics.epoch)

    def close(self) -> None:
        """End the run."""
        if not self.lost:
            self._client.set_terminated(self._run)

    def _log(self, prefix: str, figures: Mapping[str, float], step: int) -> None:
        if self.lost:
            return
        try:
            for name, value in figures.items():
                self._client.log_metric(self._run, f"{prefix}/{name}", value, step=step)
        except self._error as exc:
            self.lost = f"MLflow took no more figures from {prefix} {step} on: {str(exc).splitlines()[0]}"


def _measured(metrics: EpochMetrics) -> dict[str, float]:
    return {name: value for name, value in asdict(metrics).items() if value is not None and name != "epoch"}


def check_tracking(tracking: Tracking) -> None:
    """See that the packages are there, before anything is trained.

    Raises:
        UsageError: One is not.
    """
    for wanted, package, extra in (
        (tracking.tensorboard, "torch.utils.tensorboard", "tensorboard"),
        (tracking.mlflow, "mlflow.tracking", "mlflow"),
    ):
        if wanted:
            for name, value in _MLFLOW.items():
                os.environ.setdefault(name, value)  # noqa: TID251  (MLflow reads its switches there)
            _import(package, extra)


def _import(package: str, extra: str) -> None:
    try:
        importlib.import_module(package)
    except ImportError as exc:
        raise UsageError(
            f"`train.tracking.{extra}` is set, but {extra} is not installed ({exc}).",
            hint=f"Install it: pip install 'edgebound[{extra}]'.",
        ) from exc


def open_trackers(tracking: Tracking, settings: Mapping[str, Any]) -> list[Tracker]:
    """Open those that the user asked for.

    Raises:
        EdgeboundError: A tracking server does not answer, or a folder cannot be written.
    """
    trackers: list[Tracker] = []
    try:
        if tracking.tensorboard:
            trackers.append(TensorBoard(tracking.tensorboard))
        if tracking.mlflow:
            trackers.append(Mlflow(tracking.mlflow, settings))
    except OSError as exc:
        raise EdgeboundError(
            f"The tracking that `train.tracking` asks for cannot be written: {exc}",
            hint="Correct the folder or the address, or leave train.tracking out.",
        ) from exc
    return trackers


def close_all(trackers: Sequence[Tracker]) -> None:
    """Close them."""
    for tracker in trackers:
        tracker.close()
