"""Run a kit on this board, and write its receipt."""

import json
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from targets.agent.archive import own_digest
from targets.agent.child import run_step
from targets.agent.disk import explained, refuse_full_disk
from targets.agent.gather import write_up
from targets.agent.job import Job, Journal, Tell, now
from targets.agent.lock import holder, sign, try_lock, wait_for_lock
from targets.agent.measure import Measurement
from targets.agent.phases import Phases, digest
from targets.agent.steps import Place
from targets.board.fit import fits
from targets.board.identity import Identity, identify
from targets.board.state import read_state
from targets.errors import EdgeboundError, EvidenceError, ModelError, UsageError
from targets.kit import AGENT_NAME, Kit, open_kit, open_seal
from targets.receipt import EngineReceipt, Receipt, load_receipt

LEASE_NAME = "board.lock"
_WRITTEN = 2025  # year in which this code was written: no board is there before


@dataclass(frozen=True)
class Order:
    """How a kit is to be run.

    Attributes:
        place: Where.
        max_age: A measurement older than this is made again.
        wait_s: How long to wait for the board, in seconds.
        lock: File descriptor that holds the job's lock already; None to take it.
        options: Of the command line, for children.
    """

    place: Place
    max_age: timedelta
    wait_s: float
    lock: Optional[int]
    options: Tuple[str, ...]


def run(order: Order, tell: Tell) -> Path:
    """Build, measure and verify; what an earlier, killed run finished is taken up.

    Args:
        order: How.
        tell: Told each event.

    Returns:
        The receipt's folder; `receipt.zip` is beside it.

    Raises:
        ModelError: The kit is broken, or not this agent's.
        UsageError: The job runs already, or belongs to another kit.
        EvidenceError: Something is missing here, this is not the kit's target, or others hold the board.
        DiskFullError: There is no room.
        EdgeboundError: Something failed.
    """
    job = order.place.job
    with explained(job.folder):
        kit, kit_id = open_own_kit(order.place.kit_folder)
        key = open_seal(order.place.kit_folder, kit_id)
        job.folder.mkdir(parents=True, exist_ok=True)
        lock = _take_job(job) if order.lock is None else order.lock
        try:
            os.set_inheritable(lock, False)  # noqa: FBT003 — takes no keyword
            sign(lock, _note(job))
            job.prepare(kit_id)
            journal = Journal(job, tell)
            journal.write("started", kit=kit_id, target=kit.target, pid=os.getpid())
            with _ended(job, journal):
                if not is_fresh(job, kit_id, order.max_age):
                    _carry_out(order, kit, kit_id, key, journal)
                journal.write("finished", receipt=str(job.receipt))
        finally:
            os.close(lock)
    return job.receipt


def open_own_kit(folder: Path) -> Tuple[Kit, str]:
    """Read the kit that this agent came with.

    Raises:
        ModelError: The kit is broken, or another agent's.
    """
    kit, kit_id = open_kit(folder)
    if kit.agent != own_digest():
        raise ModelError(
            f"The kit in {folder} was written for agent {kit.agent[:12]}; this is {own_digest()[:12]}.",
            hint=f"Run the {AGENT_NAME} that is in the kit.",
        )
    return kit, kit_id


def is_fresh(job: Job, kit_id: str, max_age: timedelta) -> bool:
    """Say whether the job has a whole receipt for the kit, fresh, and with nothing to try again."""
    try:
        receipt = load_receipt(job.receipt)
    except ModelError:
        return False
    age = datetime.now(timezone.utc) - datetime.fromisoformat(receipt.measured_at)
    lasts = timedelta(0) <= age <= max_age and not any(one.crashed for one in receipt.engines)
    return receipt.kit == kit_id and lasts and (job.folder / "receipt.zip").exists()


def _take_job(job: Job) -> int:
    lock = try_lock(job.lock, _note(job))
    if lock is None:
        pid = (holder(job.lock) or {}).get("pid", "?")
        raise UsageError(
            f"Process {pid} works in {job.folder} already.", hint=f"agent.pyz follow --job {job.folder}"
        )
    return lock


def _note(job: Job) -> Dict[str, Any]:
    return {"pid": os.getpid(), "job": str(job.folder.resolve()), "since": now()}


@contextmanager
def _ended(job: Job, journal: Journal) -> Iterator[None]:
    """Write down how the job ends."""
    try:
        with explained(job.folder):
            yield
    except EdgeboundError as exc:
        journal.last_words(text=exc.what, hint=exc.hint, code=exc.code)
        job.end(exc.code)
        raise
    job.end(0)


def _carry_out(order: Order, kit: Kit, kit_id: str, key: str, journal: Journal) -> None:
    begin = time.monotonic()
    place = order.place
    _refuse_wrong_clock()
    identity = identify(place.root)
    found = _look(order, kit, identity)
    refuse_full_disk(place.job.folder, kit)
    lease = _take_board(order, journal)
    try:
        basis = {"kit": kit_id, "host": identity.host, "version": found["version"], "facts": found["facts"]}
        phases = Phases(kit, place, journal, digest(basis), lease, order.options)
        if _is_stale(place.job, order.max_age):
            place.job.forget("measure.json")
        engines, measurement = _work(phases)
        receipt = Receipt(
            kit=kit_id,
            agent=kit.agent,
            simulated=found["simulated"],
            identity=identity,
            runtime_version=found["version"],
            facts=found["facts"],
            engines=tuple(engines),
            before=measurement.before if measurement else read_state(place.root),
            after=measurement.after if measurement else read_state(place.root),
            doubts=measurement.doubts if measurement else (),
            measured_at=measurement.measured_at if measurement else now(),
            seconds=time.monotonic() - begin,
            files={},
        )
        write_up(place.job, receipt, key)
    finally:
        os.close(lease)


def _look(order: Order, kit: Kit, identity: Identity) -> Mapping[str, Any]:
    """See that this board can do the work, before anything is done.

    Raises:
        EvidenceError: It cannot.
    """
    place = order.place
    found: Mapping[str, Any] = run_step(
        place.kit_folder / AGENT_NAME, ["look", *order.options], log=place.job.log, progress=lambda *_: None
    )
    if found["missing"]:
        raise EvidenceError(
            f"This board lacks {'; '.join(one['what'] for one in found['missing'])}.",
            hint="; ".join(one["hint"] for one in found["missing"]),
        )
    reasons = fits(identity, kit.profile, facts=found["facts"], runtime_version=found["version"])
    if reasons:
        raise EvidenceError(
            f"This board is not {kit.target}: {'; '.join(reasons)}.",
            hint=f"Run the kit on {kit.profile.device}, or make one for the target that this board is.",
        )
    return found


def _refuse_wrong_clock() -> None:
    """Refuse a clock that was never set, as of a board without a battery: a receipt has a date.

    Raises:
        EvidenceError: With how to set it.
    """
    if datetime.now(timezone.utc).year < _WRITTEN:
        raise EvidenceError(
            f"This board's clock says {now()}.",
            hint="Set it: sudo timedatectl set-ntp true, or sudo date -s '2025-12-31 12:00'.",
        )


def _take_board(order: Order, journal: Journal) -> int:
    def waiting(note: Dict[str, Any]) -> None:
        journal.write("note", text=f"waiting: {_who(note)}")

    path = order.place.state / LEASE_NAME
    lease = wait_for_lock(path, _note(order.place.job), wait_s=order.wait_s, waiting=waiting)
    if lease is None:
        raise EvidenceError(
            f"The board is busy: {_who(holder(path) or {})}.",
            hint="Run the same command again later, or with a larger --wait-s.",
        )
    return lease


def _who(note: Mapping[str, Any]) -> str:
    return f"process {note.get('pid', '?')} works in {note.get('job', '?')} since {note.get('since', '?')}"


def _is_stale(job: Job, max_age: timedelta) -> bool:
    try:
        text = json.loads((job.folder / "measure.json").read_text(encoding="utf-8"))["what"]["measured_at"]
        return datetime.now(timezone.utc) - datetime.fromisoformat(text) > max_age
    except (OSError, ValueError, KeyError, TypeError):
        return True


def _work(phases: Phases) -> Tuple[List[EngineReceipt], Optional[Measurement]]:
    built = phases.build()
    phases.journal.write("phase", phase="measure")
    engines = [_started(phases, one) for one in built]
    measurement = phases.measure(engines)
    phases.journal.write("phase", phase="verify")
    return [_verified(phases, one, measurement) for one in engines], measurement


def _started(phases: Phases, one: EngineReceipt) -> EngineReceipt:
    if one.failed:
        return one
    found = phases.start(one)
    if "failed" in found:
        return _failed(one, found)
    return replace(one, startup_s=found["startup_s"], memory_mib=found["memory_mib"])


def _verified(phases: Phases, one: EngineReceipt, measurement: Optional[Measurement]) -> EngineReceipt:
    if one.failed or measurement is None:
        return one
    found = phases.verify(one)
    if "failed" in found:
        return _failed(one, found)
    return replace(
        one,
        timings=measurement.timings[one.id],
        power=measurement.power[one.id],
        nonfinite=found["nonfinite"],
    )


def _failed(one: EngineReceipt, found: Mapping[str, Any]) -> EngineReceipt:
    return EngineReceipt(
        id=one.id, precision=one.precision, failed=found["failed"], unsupported=found["unsupported"]
    )
