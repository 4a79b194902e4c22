"""Submit: a run as jobs of a Slurm cluster, followed to the end, and taken up again by the same command.

```
.edgebound/jobs/<key>/jobs.json   ids of the jobs whose result nobody has taken yet
.edgebound/jobs/<key>/<job>.sh    what sbatch was given
.edgebound/jobs/<key>/<job>.log   what the job says
.edgebound/jobs/<key>/<job>.json  its report
.edgebound/jobs/<key>/<job>.exit  its exit code; written last
```
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from secrets import token_hex

from pipeline.boards import check_devices
from pipeline.executor.ending import ending
from pipeline.executor.follow import Watched, follow
from pipeline.executor.jobs import Job, check_ranks, folder_of, jobs_of
from pipeline.executor.merge import merge
from pipeline.executor.script import script
from pipeline.executor.slurm import check_slurm, find_jobs, submit
from pipeline.files import explained, write_atomically
from pipeline.ladder import RunReport
from pipeline.report import write_report
from pipeline.request import Request
from pipeline.runner import Reporter
from pipeline.store import Store
from pipeline.support import refuse_impossible
from targets.errors import EdgeboundError

_RECORD = "jobs.json"


def conduct_on_slurm(request: Request, reporter: Reporter) -> RunReport:
    """Have the run done by jobs, and give the report that they found.

    Raises:
        UsageError: Slurm is not here, or will not grant what `executor:` asks for.
        EdgeboundError: The job that trains left no report, or Slurm does not answer, or refuses a job.
        StoreError: The folder cannot be written.
    """
    begin, started = time.perf_counter(), datetime.now(timezone.utc)
    check_slurm()
    check_ranks(request)
    refuse_impossible(request.config, request.profiles.values())
    check_devices(request.folder)
    watched = _submit_or_find(request, reporter)
    reporter.started("jobs on Slurm")
    try:
        follow(watched, reporter)
    except KeyboardInterrupt:
        names = ",".join(one.job.called for one in watched)
        reporter.note(
            f"The jobs go on; the same command follows them again. To end them: scancel --name={names}"
        )
        raise
    report = _gather(request, watched)
    (folder_of(request) / _RECORD).unlink(missing_ok=True)
    directory = request.folder / ".edgebound" / "runs" / f"{started:%Y%m%d-%H%M%S}-{token_hex(2)}"
    report = replace(
        report,
        run=directory.name,
        run_dir=str(directory),
        seconds=time.perf_counter() - begin,
        started_at=started.isoformat(),
    )
    write_report(report, directory)
    return report


def _submit_or_find(request: Request, reporter: Reporter) -> list[Watched]:
    """Find the run's jobs where there are any that nobody has followed to the end, or submit them."""
    store = Store(request.folder / ".edgebound")
    store.prepare()
    folder = folder_of(request).resolve()
    jobs = jobs_of(request)
    with store.lock(f"slurm-{folder.name}", waiting=lambda who: reporter.note(f"waiting for {who}")):
        numbers = _untaken(folder, jobs)
        if numbers.keys() < {job.name for job in jobs}:
            numbers = _submit(request, jobs, folder=folder, numbers=numbers)
            told = "submitted"
        else:
            told = "found again"
    for job in jobs:
        reporter.note(f"{job.name}: job {numbers[job.name]}, {told}")
    return [Watched(job=job, number=numbers[job.name], result=folder / job.file_name) for job in jobs]


def _untaken(folder: Path, jobs: Sequence[Job]) -> dict[str, int]:
    """Give the ids of jobs of this run that were submitted, by name, and whose result nobody has taken.

    One that was submitted by a process that was killed before it could note it down is found in the queue.
    """
    record = folder / _RECORD
    if not record.exists():
        return {}
    numbers: dict[str, int] = json.loads(record.read_bytes())
    standing = find_jobs(job.called for job in jobs)
    lost = {
        job.name: standing[job.called].number
        for job in jobs
        if job.name not in numbers and job.called in standing and not standing[job.called].over
    }
    return numbers | lost


def _submit(
    request: Request, jobs: Sequence[Job], *, folder: Path, numbers: dict[str, int]
) -> dict[str, int]:
    """Submit the jobs that are not in `numbers`, noting each down at once."""
    with explained(folder):
        if not numbers:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / _RECORD, json.dumps(numbers).encode())
    called = {job.called: job.name for job in jobs}
    for job in jobs:
        if job.name in numbers:
            continue
        file = folder / f"{job.file_name}.sh"
        text = script(job, request.config.executor, folder=folder, start=Path.cwd())
        write_atomically(file, text.encode())
        before = called[job.after] if job.after else ""
        waits = before and not (folder / f"{before}.exit").exists()  # Slurm may not know it any more
        after = numbers[before] if waits else None
        numbers = {**numbers, job.name: submit(file, after=after, partition=job.resources.partition)}
        write_atomically(folder / _RECORD, json.dumps(numbers).encode())
    return numbers


def _gather(request: Request, watched: Sequence[Watched]) -> RunReport:
    """Give the run's report.

    Raises:
        EdgeboundError: The job of all left none.
    """
    requeues = request.config.executor.requeues
    shared, *others = watched
    first = ending(shared, requeues=requeues)
    if isinstance(first, EdgeboundError):
        (folder_of(request) / _RECORD).unlink(missing_ok=True)
        raise first
    if first.error is not None:
        return first
    parts = {one.job.target: ending(one, requeues=requeues) for one in others}
    return merge(first, parts, request)
