"""Conduct a run: from a configuration and targets to a judged report in a folder of its own."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from datetime import datetime, timezone
from os.path import relpath
from secrets import token_hex

from pipeline.baseline import describe, keep
from pipeline.boards import check_devices
from pipeline.cache import find_cache
from pipeline.closure import code_of
from pipeline.codec import encode
from pipeline.files import explained
from pipeline.forms import Made, Shared
from pipeline.gate import overall
from pipeline.ladder import Failure, RunReport, Step
from pipeline.one_target import packed_only, verified, without
from pipeline.plan import check_early, make_candidates, make_shared, prepare_data
from pipeline.report import write_report
from pipeline.request import Request, Run
from pipeline.rungs import data_summary, epochs
from pipeline.runner import STAGES, Reporter, Runner, StoppedError
from pipeline.store import Store
from pipeline.support import refuse_impossible
from pipeline.training import describe_training
from targets.errors import BudgetError, EdgeboundError, UnsupportedError
from targets.host import describe_host, fingerprint

__all__ = ["STATE", "Request", "conduct"]
STATE = ".edgebound"


def conduct(request: Request, reporter: Reporter) -> RunReport:
    """Run the plan, judge what came out, and write the report.

    Our own errors end in the report, with the exit code they stand for; Ctrl-C and bugs go through.

    Raises:
        StoreError: The folder cannot be written.
    """
    begin, started = time.perf_counter(), datetime.now(timezone.utc)
    store = Store(request.folder / STATE)
    store.prepare()
    shared = find_cache(request.config.cache, store, request.ways, folder=request.folder, note=reporter.note)
    directory = store.root / "runs" / f"{started:%Y%m%d-%H%M%S}-{token_hex(2)}"
    with explained(directory):
        directory.mkdir(parents=True)
    run = Run(
        request=request,
        runner=Runner(store, reporter, until=request.until, shared=shared),
        directory=directory,
        host=fingerprint(describe_host()),
    )
    error: EdgeboundError | None = None
    try:
        _work(run)
    except StoppedError as exc:
        unjudged = request.profiles.keys() - run.targets.keys()
        run.targets |= {name: without(run, exc, "inconclusive", name) for name in sorted(unjudged)}
    except EdgeboundError as exc:
        error = exc
    report = replace(_report(run, error), seconds=time.perf_counter() - begin, started_at=started.isoformat())
    report = replace(report, notes=(*report.notes, *(shared.notes if shared else ())))
    write_report(report, directory)
    return report


def _work(run: Run) -> None:
    request = run.request
    refuse_impossible(request.config, request.profiles.values())
    check_devices(request.folder)
    run.data, run.pictures = prepare_data(request.config, run.runner, folder=request.folder)
    _tell(run, run.data.notes)
    if request.baseline is not None:
        request.baseline.check_early(run.data.index, request.config.train.imgsz)
    if _goes_as_far_as(request, "check"):
        barred = check_early(
            request.config,
            request.profiles,
            run.data,
            pictures=run.pictures,
            step=run.runner,
            folder=request.folder,
        )
        run.targets |= {name: without(run, exc, "unsupported", name) for name, exc in barred.items()}
        if len(barred) == len(request.profiles):
            return
    run.shared = make_shared(
        request.config,
        {name: profile for name, profile in request.profiles.items() if name not in run.targets},
        (run.data, run.pictures),
        step=run.runner,
        host=run.host,
        folder=request.folder,
    )
    _tell(run, run.shared.trained.notes)
    run.conditions = describe(run.data.index, run.shared.trained.checkpoint)
    if request.baseline is not None:
        request.baseline.check(run.conditions)
    keep(run.data.index, run.directory, "index")
    _hand_out_pruned(run, run.shared)
    made = dict(_candidates(run, run.shared))
    for name, one in made.items():
        to_kit = one.packed if request.until == "build" else None
        run.targets[name] = packed_only(run, name, to_kit) if to_kit else verified(run, name, one)


def _hand_out_pruned(run: Run, shared: Shared) -> None:
    """Copy the pruned checkpoint for people who go on in Ultralytics."""
    pruned = shared.forms[-1].model / "pruned.pt"
    if pruned.exists():
        with explained(run.directory):
            shutil.copyfile(pruned, run.directory / pruned.name)


def _candidates(run: Run, shared: Shared) -> Iterator[tuple[str, Made]]:
    """Make what can be made for each target that is still in."""
    for name, profile in run.request.profiles.items():
        if name in run.targets:
            continue
        try:
            made = make_candidates(
                run.request.config, profile, shared, step=run.runner, host=run.host, target=name
            )
            yield name, made
        except UnsupportedError as exc:
            run.targets[name] = without(run, exc, "unsupported", name)
        except BudgetError as exc:
            run.targets[name] = without(run, exc, "refuse", name)


def _goes_as_far_as(request: Request, stage: str) -> bool:
    return not request.until or STAGES.index(request.until) >= STAGES.index(stage)


def _tell(run: Run, notes: Iterable[str]) -> None:
    for note in notes:
        run.runner.reporter.note(note)


def _report(run: Run, error: EdgeboundError | None) -> RunReport:
    verdict, reasons = overall(run.targets)
    if error is not None:
        verdict, reasons = "error", (error.what,)
    data, shared, config = run.data, run.shared, run.request.config
    digest = data.index.digest if data else ""
    return RunReport(
        run=run.directory.name,
        verdict=verdict,
        reasons=reasons,
        error=Failure(what=error.what, hint=error.hint, code=error.code) if error else None,
        run_dir=str(run.directory),
        seconds=0.0,
        data="demo" if config.demo is not None else digest,
        targets=run.targets,
        host={key: str(value) for key, value in asdict(describe_host()).items()},
        versions=_versions(),
        settings=encode(config, lambda artifact: artifact.digest),
        data_summary=data_summary(data) if data else None,
        epochs=epochs(shared.trained) if shared else (),
        training=describe_training(shared.trained) if shared else None,
        frontier=shared.frontier if shared else (),
        steps=tuple(
            Step(stage=done.stage, label=done.title, key=done.key, seconds=done.seconds, cached=done.cached)
            for done in run.runner.done
        ),
        pictures=relpath(run.pictures.path.resolve(), run.directory.resolve()) if run.pictures else "",
        conditions=run.conditions,
        baseline=run.request.baseline.run if run.request.baseline else "",
        notes=(*(data.notes if data else ()), *((*shared.trained.notes, *shared.notes) if shared else ())),
    )


def _versions() -> dict[str, str]:
    """Give the versions of the foreign packages behind the stages."""
    modules = ("stages.train", "stages.export", "stages.quantize", "stages.build", "stages.verify")
    return {name: version for module in modules for name, version in code_of(module).tools.items()}
