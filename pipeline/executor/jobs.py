"""Jobs: what a run becomes on a cluster. One that trains, then one for each target, on the shared store.

Each runs the very command that was given here, for its part: what one finished, the next finds in the store.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.codec import encode
from pipeline.request import Request
from pipeline.resources import ExecutorSection, Resources
from pipeline.runner import STAGES
from stages.artifact import digest_json
from targets.errors import UsageError

SHARED = "train"
_LAST_SHARED = "check"  # of the stages whose work all targets share; so targets are asked before training


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job.

    Attributes:
        name: For people, `train` or a target.
        target: Whose job it is; empty for what all share.
        words: Command.
        resources: That it needs.
        called: Name in the queue, which is no other run's.
        after: Name in the queue of the job that has to succeed first; empty if none has to.
    """

    name: str
    target: str
    words: tuple[str, ...]
    resources: Resources
    called: str
    after: str = ""

    @property
    def file_name(self) -> str:
        """Its name as part of a file's name."""
        return re.sub(r"[^\w@.-]", "_", self.name)


def key_of(request: Request) -> str:
    """Give what tells a run from others: the same for the same command, whatever resources it asks for."""
    config = replace(request.config, executor=ExecutorSection())
    record = {
        "config": encode(config, lambda artifact: artifact.digest),
        "profiles": {name: encode(profile, str) for name, profile in request.profiles.items()},
        "until": request.until,
    }
    return digest_json(record).removeprefix("sha256:")[:12]


def jobs_of(request: Request) -> tuple[Job, ...]:
    """Give the jobs of a run, in the order in which they are submitted."""
    executor = request.config.executor
    prefix = f"edgebound-{key_of(request)}"
    until = request.until
    shared_until = until if until and not _beyond(until) else _LAST_SHARED
    shared = Job(
        name=SHARED,
        target="",
        words=_words(request, request.order.asked, shared_until),
        resources=executor,
        called=f"{prefix}-{SHARED}",
    )
    if until == shared_until:
        return (shared,)
    return (
        shared,
        *(
            Job(
                name=name,
                target=name,
                words=_words(request, (asked,), until),
                resources=executor.targets,
                called=f"{prefix}-{name}",
                after=shared.called,
            )
            for name, asked in _asked(request)
        ),
    )


def check_ranks(request: Request) -> None:
    """See that the nodes that are asked for are those that training uses.

    Raises:
        UsageError: Nodes would stand idle, or not have the GPUs.
    """
    executor, train = request.config.executor, request.config.train
    if executor.targets.nodes > 1:
        raise UsageError(
            f"`executor.targets.nodes: {executor.targets.nodes}`: a target's job uses one node.",
            hint="Remove the line; `executor.nodes` is for training.",
        )
    if train.ranks % executor.nodes:
        raise UsageError(
            f"`executor.nodes: {executor.nodes}` does not go with `train.ranks: {train.ranks}`: every node "
            "trains with the same number of ranks, at least one.",
            hint=f"Set train.ranks to a multiple of {executor.nodes}, one for each GPU of all nodes.",
        )
    a_node = train.ranks // executor.nodes
    if executor.gpus and a_node > executor.gpus:
        raise UsageError(
            f"`train.ranks: {train.ranks}` on {executor.nodes} nodes are {a_node} a node, which has "
            f"`executor.gpus: {executor.gpus}`.",
            hint="Ask for as many GPUs a node as ranks, or for more nodes.",
        )


def _asked(request: Request) -> Iterator[tuple[str, str]]:
    """Give each target's name in the report, and how it was asked for, which may be the path of a file."""
    from pipeline.profiles import find_profiles

    told = set()
    for asked in request.order.asked:
        for name in find_profiles((asked,)):
            if name not in told:
                told.add(name)
                yield name, asked


def _words(request: Request, targets: tuple[str, ...], until: str) -> tuple[str, ...]:
    order = request.order
    python = "python" if request.config.executor.container else sys.executable
    return (
        *(python, "-m", "pipeline", "run", "--json", "--root", str(request.folder)),
        *(("--config", order.config) if order.config else ()),
        *(("--demo",) if order.demo else ()),
        *(word for setting in order.settings for word in ("--set", setting)),
        *(word for target in targets for word in ("--target", target)),
        *(("--baseline", order.baseline) if order.baseline else ()),
        *(("--until", until) if until else ()),
    )


def _beyond(until: str) -> bool:
    return STAGES.index(until) > STAGES.index(_LAST_SHARED)


def folder_of(request: Request) -> Path:
    """Give the folder that the jobs of a run and who follows them share."""
    return request.folder / ".edgebound" / "jobs" / key_of(request)
