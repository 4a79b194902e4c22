"""Resources: what a cluster is asked for, the section `executor:` of `pipeline.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Of one job. What is empty or 0 is left to the cluster's own default.

    Attributes:
        partition: Where the job waits.
        account: That pays.
        qos: Quality of service.
        constraint: Features that its nodes must have.
        nodes: Machines.
        gpus: Of each node.
        cpus: Of each node.
        memory_gib: Of each node.
        hours: Time limit. A job that reaches it is queued again, and goes on from its last checkpoint.
        options: Of sbatch, as `--exclusive`, for what has no field here.
    """

    partition: str = ""
    account: str = ""
    qos: str = ""
    constraint: str = ""
    nodes: Annotated[int, Ge(1)] = 1
    gpus: Annotated[int, Ge(0)] = 0
    cpus: Annotated[int, Ge(0)] = 0
    memory_gib: Annotated[float, Ge(0)] = 0.0
    hours: Annotated[float, Ge(0)] = 0.0
    options: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ExecutorSection(Resources):
    """`--executor slurm`: what the job that trains is given, and what those of the targets are.

    Attributes:
        targets: Resources of the job of each target, which runs once training is done.
        container: Image to work in; it must have Edgebound. Empty: the Python that submits.
        container_runtime: `apptainer`, or `pyxis`, the plugin that runs enroot below srun.
        environment: Variables of the jobs.
        setup: Shell lines before the work, as `module load cuda`.
        requeues: Times that a job goes on after its time limit or a preemption; then it fails.
    """

    __pydantic_config__: ClassVar = {"coerce_numbers_to_str": True}  # `OMP_NUM_THREADS: 8` needs no quotes

    targets: Resources = field(default_factory=Resources)
    container: str = ""
    container_runtime: Literal["apptainer", "pyxis"] = "apptainer"
    environment: Mapping[str, str] = field(default_factory=dict)
    setup: tuple[str, ...] = ()
    requeues: Annotated[int, Ge(0)] = 10
