"""Conduct a run: from a configuration and targets to a judged report in a folder of its own."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from secrets import token_hex

from pipeline.closure import code_of
from pipeline.codec import encode
from pipeline.config import Config
from pipeline.files import explained
from pipeline.forms import Made, Shared, Variant, Verified
from pipeline.gate import Judgement, Terms, judge, overall
from pipeline.ladder import Failure, Rung, RunReport, Step, TargetResult, Verdict
from pipeline.plan import (
    check_early,
    make_candidates,
    make_shared,
    prepare_data,
    refuse_impossible,
    technical,
)
from pipeline.report import write_report
from pipeline.rungs import data_summary, epochs, placement, rungs
from pipeline.runner import STAGES, Reporter, Runner, StoppedError
from pipeline.store import Store
from pipeline.verification import verify
from stages.data import Prepared
from targets.errors import BudgetError, EdgeboundError, UnsupportedError
from targets.host import describe_host, fingerprint
from targets.profile import TargetProfile

STATE = ".edgebound"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a run is asked for.

    Attributes:
        config: Settings.
        profiles: Targets by the names they were asked by.
        folder: Relative paths start here, and `.edgebound` is here.
        until: Last stage to run, or empty.
    """

    config: Config
    profiles: Mapping[str, TargetProfile]
    folder: Path
    until: str = ""


@dataclass
class _Run:
    """A run under way."""

    request: Request
    runner: Runner
    directory: Path
    host: str
    data: Prepared | None = None
    shared: Shared | None = None
    targets: dict[str, TargetResult] = field(default_factory=dict)

    @property
    def now(self) -> datetime:
        return datetime.now(timezone.utc)


def conduct(request: Request, reporter: Reporter) -> RunReport:
    """Run the plan, judge what came out, and write the report.

    Our own errors end in the report, with the exit code they stand for; Ctrl-C and bugs go through.

    Raises:
        StoreError: The folder cannot be written.
    """
    begin, started = time.perf_counter(), datetime.now(timezone.utc)
    store = Store(request.folder / STATE)
    store.prepare()
    directory = store.root / "runs" / f"{started:%Y%m%d-%H%M%S}-{token_hex(2)}"
    with explained(directory):
        directory.mkdir(parents=True)
    run = _Run(
        request=request,
        runner=Runner(store, reporter, until=request.until),
        directory=directory,
        host=fingerprint(describe_host()),
    )
    error: EdgeboundError | None = None
    try:
        _work(run)
    except StoppedError as exc:
        unjudged = request.profiles.keys() - run.targets.keys()
        run.targets |= {name: _without(run, exc, "inconclusive", name) for name in sorted(unjudged)}
    except EdgeboundError as exc:
        error = exc
    report = replace(_report(run, error), seconds=time.perf_counter() - begin, started_at=started.isoformat())
    write_report(report, directory)
    return report


def _work(run: _Run) -> None:
    request = run.request
    refuse_impossible(request.config, request.profiles.values())
    run.data, pictures = prepare_data(request.config, run.runner, folder=request.folder)
    _tell(run, run.data.notes)
    if _goes_as_far_as(request, "check"):
        barred = check_early(
            request.config,
            request.profiles,
            run.data,
            pictures=pictures,
            step=run.runner,
            folder=request.folder,
        )
        run.targets |= {name: _without(run, exc, "unsupported", name) for name, exc in barred.items()}
        if len(barred) == len(request.profiles):
            return
    run.shared = make_shared(
        request.config, run.data, pictures=pictures, step=run.runner, folder=request.folder
    )
    _tell(run, run.shared.trained.notes)
    made: dict[str, Made] = {}
    for name, profile in request.profiles.items():
        if name in run.targets:
            continue
        try:
            made[name] = make_candidates(request.config, profile, run.shared, step=run.runner, host=run.host)
        except UnsupportedError as exc:
            run.targets[name] = _without(run, exc, "unsupported", name)
        except BudgetError as exc:
            run.targets[name] = _without(run, exc, "refuse", name)
    for name, one in made.items():
        run.targets[name] = _verified(run, name, one)


def _goes_as_far_as(request: Request, stage: str) -> bool:
    return not request.until or STAGES.index(request.until) >= STAGES.index(stage)


def _tell(run: _Run, notes: Iterable[str]) -> None:
    for note in notes:
        run.runner.reporter.note(note)


def _verified(run: _Run, name: str, made: Made) -> TargetResult:
    """Verify and judge one target."""
    config, profile = run.request.config, run.request.profiles[name]
    assert run.shared is not None
    forms = verify(config, technical(profile), run.shared, made.variants, step=run.runner, host=run.host)
    terms = Terms(
        limits=config.gate,
        budgets=profile.budgets,
        wish=config.build.precision,
        now=run.now,
        max_age_h=config.verify.max_age_h,
    )
    judgement = judge(rungs(forms, run.runner), terms)
    notes = (*made.notes, *(note for form in forms for note in form.evaluated.notes))
    if not profile.local:
        return replace(
            _on_the_device(run, name, judgement, forms),
            notes=notes,
            placement=placement(made),
            search=made.search,
        )
    ships = judgement.ships
    return TargetResult(
        verdict=judgement.verdict,
        reasons=judgement.reasons,
        engine=str(_hand_out(run, name, ships, forms)) if ships else None,
        precision=ships.precision if ships else None,
        runtime=profile.runtime if ships else None,
        ladder=judgement.ladder,
        ships=ships.id if ships else None,
        profile=asdict(profile),
        notes=notes,
        placement=placement(made),
        search=made.search,
    )


def _on_the_device(run: _Run, name: str, judgement: Judgement, forms: Sequence[Verified]) -> TargetResult:
    """Hand out what the host could make for a target whose engines are built on the device."""
    profile = run.request.profiles[name]
    for form in forms:
        if form.variant.parent is not None:
            _copy(form.variant, run.directory / name / form.variant.id)
    version = f"{profile.runtime} {profile.runtime_version}".strip()
    missing = (
        f"no engine for {profile.device}: {version} engines are built on the device, and none is reached",
        f"The checked ONNX files are in {run.directory / name}.",
    )
    refused = judgement.verdict == "refuse"
    reasons = (*judgement.reasons, *missing) if refused else missing
    verdict: Verdict = "refuse" if refused else "inconclusive"
    return TargetResult(
        verdict=verdict,
        reasons=reasons,
        engine=None,
        precision=None,
        runtime=None,
        ladder=judgement.ladder,
        profile=asdict(profile),
    )


def _hand_out(run: _Run, name: str, ships: Rung, forms: Sequence[Verified]) -> Path:
    variant = next(form.variant for form in forms if form.variant.id == ships.id)
    return _copy(variant, run.directory / name)


def _copy(variant: Variant, folder: Path) -> Path:
    with explained(folder):
        return Path(shutil.copytree(variant.model.path, folder))


def _without(run: _Run, exc: EdgeboundError, verdict: Verdict, name: str) -> TargetResult:
    """Give the result of a target that did not get as far as a ladder."""
    return TargetResult(
        verdict=verdict,
        reasons=(exc.what, exc.hint),
        engine=None,
        precision=None,
        runtime=None,
        ladder=(),
        profile=asdict(run.request.profiles[name]),
    )


def _report(run: _Run, error: EdgeboundError | None) -> RunReport:
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
        steps=tuple(
            Step(stage=done.stage, label=done.title, key=done.key, seconds=done.seconds, cached=done.cached)
            for done in run.runner.done
        ),
        notes=(*(data.notes if data else ()), *(shared.trained.notes if shared else ())),
    )


def _versions() -> dict[str, str]:
    """Give the versions of the foreign packages behind the stages."""
    modules = ("stages.train", "stages.export", "stages.quantize", "stages.build", "stages.verify")
    return {name: version for module in modules for name, version in code_of(module).tools.items()}
