"""One target of a run: its forms verified, its board asked, its ladder judged, and what comes of it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

from pipeline.baseline import Shipped, keep, released
from pipeline.board import board_of
from pipeline.boards import Boards
from pipeline.files import explained
from pipeline.forms import Made, Variant, Verified
from pipeline.gate import Terms, judge
from pipeline.kits import hand_out
from pipeline.ladder import Rung, TargetResult, Verdict
from pipeline.plan import take_in
from pipeline.receipts import Answer, file_receipt
from pipeline.request import Run
from pipeline.rungs import placement, rungs
from pipeline.runner import StoppedError
from pipeline.verification import verify
from stages.pack import Packed
from stages.verify import Compare, Compared, CompareInputs
from targets.errors import EdgeboundError, EvidenceError
from targets.profile import TargetProfile, technical
from targets.receipt import Receipt, load_receipt


def packed_only(run: Run, name: str, packed: Packed) -> TargetResult:
    """Hand out the kit of a run that is to end before any board works."""
    stopped = StoppedError("Stopped at the kit, as --until asked.", hint="Run without --until for a verdict.")
    return replace(without(run, stopped, "inconclusive", name), kit=str(_kit(run, name, packed)))


def _kit(run: Run, name: str, packed: Packed) -> Path:
    order = replace(run.request.order, target=name)
    return hand_out(packed, run.directory / name / "kit", store=run.runner.store, order=order)


def verified(run: Run, name: str, made: Made) -> TargetResult:
    """Verify and judge one target."""
    config, profile = run.request.config, run.request.profiles[name]
    assert run.shared is not None
    try:
        answer = _ask(run, name, made)
        on_board = take_in(made, profile, answer.receipt, run.runner) if answer.receipt else None
    except EdgeboundError as exc:
        if isinstance(exc, StoppedError):
            raise
        return without(run, exc, "inconclusive" if isinstance(exc, EvidenceError) else "error", name)
    forms = verify(
        config,
        technical(profile),
        run.shared,
        (*made.variants, *(on_board.variants if on_board else ())),
        step=run.runner,
        host=run.host,
    )
    receipt = load_receipt(on_board.received.receipt.path) if on_board else None
    judgement = judge(_ladder(run, name, forms, receipt), _terms(run, name, profile))
    result = TargetResult(
        verdict=judgement.verdict,
        reasons=judgement.reasons,
        engine=None,
        precision=None,
        runtime=None,
        ladder=judgement.ladder,
        profile=asdict(profile),
        notes=(*made.notes, *(note for form in forms for note in form.evaluated.notes), *answer.why),
        placement=placement(made),
        search=made.search,
        board=board_of(receipt) if receipt else None,
    )
    if made.packed and receipt is None:
        return _to_the_board(run, name, made.packed, result, answer)
    ships = judgement.ships
    if ships is None:
        return result
    engine = str(_hand_out(run, name, ships, forms))
    return replace(result, engine=engine, precision=ships.precision, runtime=profile.runtime, ships=ships.id)


def _ladder(run: Run, name: str, forms: Sequence[Verified], receipt: Receipt | None) -> tuple[Rung, ...]:
    """Give the forms as rungs, each candidate with its loss against an earlier release if one was named."""
    assert run.shared is not None
    ladder = rungs(forms, run.runner, run.shared.costs, receipt)
    baseline = run.request.baseline
    if baseline is None:
        return ladder
    shipped = baseline.shipped[name]
    losses = {
        form.variant.id: released(baseline.run, shipped, _against(run, shipped, form))
        for form in forms
        if form.variant.candidate
    }
    return tuple(replace(rung, released=losses.get(rung.id)) for rung in ladder)


def _against(run: Run, shipped: Shipped, form: Verified) -> Compared:
    assert run.shared is not None
    return run.runner(
        Compare(resamples=run.request.config.verify.resamples),
        CompareInputs(
            baseline=shipped.detections,
            candidate=form.evaluated.detections,
            index=run.shared.data.index,
            model=form.variant.model,
        ),
        label=f"{form.variant.title} against the release",
    )


def _terms(run: Run, name: str, profile: TargetProfile) -> Terms:
    config = run.request.config
    return Terms(
        limits=config.gate.of(name),
        budgets=profile.budgets,
        wish=config.build.precision,
        now=run.now,
        max_age_h=config.verify.max_age_h,
        baseline=run.request.baseline.run if run.request.baseline else "",
    )


def _ask(run: Run, name: str, made: Made) -> Answer:
    """Have the work of a kit done on a board; nothing to do where engines are built here."""
    if made.packed is None:
        return Answer(receipt=None)
    request = run.request
    if name in request.receipts:
        return Answer(receipt=file_receipt(run.runner.store, made.packed.kit.path, request.receipts[name]))
    boards = Boards(
        runner=run.runner,
        folder=request.folder,
        max_age=timedelta(hours=request.config.verify.max_age_h),
    )
    return boards(made.packed, request.profiles[name], replace(request.order, target=name))


def _to_the_board(run: Run, name: str, packed: Packed, result: TargetResult, answer: Answer) -> TargetResult:
    """Hand out the kit, and say who has to do what with it."""
    profile = run.request.profiles[name]
    kit = _kit(run, name, packed)
    engines = f"{profile.runtime} {profile.runtime_version}".strip()
    why = "; ".join(answer.why)
    missing = (
        f"no engine for {profile.device}: {engines} engines are built there, and none was reached ({why})",
        f"Copy {kit} to the device; there: python3 agent.pyz run; then here: pipeline accept receipt.zip",
    )
    refused = result.verdict == "refuse"
    reasons = (*result.reasons, *missing) if refused else missing
    verdict: Verdict = "refuse" if refused else "inconclusive"
    notes = tuple(note for note in result.notes if note not in answer.why)
    return replace(result, verdict=verdict, reasons=reasons, notes=notes, kit=str(kit))


def _hand_out(run: Run, name: str, ships: Rung, forms: Sequence[Verified]) -> Path:
    form = next(form for form in forms if form.variant.id == ships.id)
    keep(form.evaluated.detections, run.directory, name)
    return _copy(form.variant, run.directory / name)


def _copy(variant: Variant, folder: Path) -> Path:
    with explained(folder):
        return Path(shutil.copytree(variant.model.path, folder))


def without(run: Run, exc: EdgeboundError, verdict: Verdict, name: str) -> TargetResult:
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
