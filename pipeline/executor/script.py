"""Script: what sbatch is given for a job."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from pipeline.executor.jobs import Job
from pipeline.resources import ExecutorSection, Resources

WARNING_S = 60  # before the time limit, for the last checkpoint and the way back into the queue
TIME_IS_UP = "time"
_GRACE_S = 5  # between the end of the work and that of its shell

# Slurm's warning comes to this shell alone (B:), before the time limit, and at a preemption where the cluster
# sends it (PreemptParameters=send_user_signal). `wait` ends at each signal, so it is asked until the work has
# ended. A verdict is a job that went well, whatever it is: the report has it, and the next jobs may run.
# Where Slurm takes a job's place, its work may be killed a moment before this shell is. That is no end to be
# written down, as the job comes back; so the shell waits for its own end first.
_BODY = """
result={result}
rm -f "$result.exit"
warned=
work=
trap 'warned=yes; [ -z "$work" ] || kill -TERM "$work"' USR1
{command} > "$result.json" &
work=$!
[ -z "$warned" ] || kill -TERM "$work"
while kill -0 "$work" 2>/dev/null; do wait "$work"; done
wait "$work"
code=$?
if [ "$warned" ]; then
  if [ "${{SLURM_RESTART_COUNT:-0}}" -lt {requeues} ] && scontrol requeue "$SLURM_JOB_ID"; then
    sleep 60  # until Slurm ends this shell
    exit 1
  fi
  code={time_is_up}
fi
case "$code" in 137|143) sleep {grace_s} ;; esac
echo "$code" > "$result.exit.part"
mv "$result.exit.part" "$result.exit"
case "$code" in 0|3|4|5) exit 0 ;; esac
exit 1
"""


def script(job: Job, executor: ExecutorSection, *, folder: Path, start: Path) -> str:
    """Write the script of a job.

    Args:
        job: It.
        executor: Settings that all jobs of a run share.
        folder: Of the run's jobs, absolute; log, report and exit code go there.
        start: Where the command is to start, absolute.
    """
    result = folder / job.file_name
    body = _BODY.format(
        result=shlex.quote(str(result)),
        command=_command(job, executor, start),
        requeues=executor.requeues,
        time_is_up=TIME_IS_UP,
        grace_s=_GRACE_S,
    )
    head = [f"#SBATCH {option}" for option in _options(job, result)]
    exports = [f"export {name}={shlex.quote(value)}" for name, value in executor.environment.items()]
    lines = ["#!/bin/bash", *head, f"cd {shlex.quote(str(start))} || exit 1", *exports, *executor.setup]
    return "\n".join(lines) + body


def _options(job: Job, result: Path) -> Iterator[str]:
    yield f"--job-name={job.called}"
    yield f"--output={shlex.quote(f'{result}.log'.replace('%', '%%'))}"  # % begins a pattern of sbatch
    yield "--open-mode=append"  # what was said before a requeue stays
    yield "--requeue"
    yield f"--signal=B:USR1@{WARNING_S}"
    yield from _wanted(job.resources)


def _wanted(resources: Resources) -> Iterator[str]:
    yield f"--nodes={resources.nodes}"
    for name in ("partition", "account", "qos", "constraint"):
        if value := getattr(resources, name):
            yield f"--{name}={shlex.quote(value)}"
    if resources.nodes > 1:
        yield "--ntasks-per-node=1"  # torchrun, which starts a rank for each GPU
    if resources.gpus:
        yield f"--gpus-per-node={resources.gpus}"
    if resources.cpus:
        yield f"--cpus-per-task={resources.cpus}"
    if resources.memory_gib:
        yield f"--mem={round(resources.memory_gib * 1024)}M"
    if resources.hours:
        yield f"--time={max(round(resources.hours * 60), 1)}"  # minutes
    yield from resources.options


def _command(job: Job, executor: ExecutorSection, start: Path) -> str:
    words = shlex.join(job.words)
    image, place = shlex.quote(executor.container), shlex.quote(str(start))
    if not executor.container:
        return words
    if executor.container_runtime == "apptainer":
        gpu = "--nv " if job.resources.gpus else ""
        return f"apptainer exec {gpu}--bind {place} --pwd {place} {image} {words}"
    return (
        f"srun --nodes=1 --ntasks=1 --container-image={image} --container-mounts={place}:{place}"
        f" --container-workdir={place} {words}"
    )
