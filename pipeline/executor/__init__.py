"""Executors: where a run's work is done. Here, or by a cluster; the result is the same report."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pipeline.ladder import RunReport
    from pipeline.request import Request
    from pipeline.runner import Reporter

ExecutorName = Literal["local", "slurm"]


def find_executor(name: ExecutorName) -> Callable[[Request, Reporter], RunReport]:
    """Give an executor by name."""
    match name:
        case "local":
            from pipeline.conduct import conduct

            return conduct
        case "slurm":
            from pipeline.executor.submit import conduct_on_slurm

            return conduct_on_slurm
