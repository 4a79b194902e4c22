"""Parts: the files of a run that a release is made of, each held against the digest that the report names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.baseline import EVIDENCE, find_index
from pipeline.ladder import RunReport
from pipeline.release.overrule import Cleared
from pipeline.rung import Rung
from pipeline.store import Entry, Store
from stages.artifact import Artifact
from targets.engine import Manifest, open_engine
from targets.errors import BudgetError, EvidenceError
from targets.folder import describe_file
from targets.model import ModelSpec, load_model_spec
from targets.receipt import FILE_NAME as RECEIPT
from targets.receipt import Receipt, load_receipt

_AGAIN = "Run the pipeline again; done steps are not done again."


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that is to be released.

    Attributes:
        report: As judged now.
        folder: Of the run.
        store: Of the project.
    """

    report: RunReport
    folder: Path
    store: Store


@dataclass(frozen=True, kw_only=True)
class Engine:
    """An engine that is released, and its evidence.

    Attributes:
        cleared: Why it may be.
        files: Its folder.
        manifest: That the folder holds.
        spec: Of the model.
        detections: On the validation pictures.
        receipt: Folder of the receipt; None where the engine was built on the machine that ran the pipeline.
        machine: CPU that it was built on, as `uname -m` says.
    """

    cleared: Cleared
    files: Artifact
    manifest: Manifest
    spec: ModelSpec
    detections: Artifact
    receipt: Path | None
    machine: str


def find_engine(run: Run, cleared: Cleared) -> Engine:
    """Find all of an engine.

    Raises:
        EvidenceError: Something is gone or was changed.
        BudgetError: A stand-in wrote the receipt.
        ModelError: The engine folder is not what its manifest says.
    """
    rung, target = cleared.rung, cleared.target
    files = _find(run, rung.digest, run.folder / target, f"engine for {target}")
    manifest = open_engine(files.path)
    if manifest.precision != rung.precision or manifest.runtime != rung.runtime:
        raise EvidenceError(
            f"{files.path} calls itself {manifest.runtime} {manifest.precision}, not {rung.label}.",
            hint=_AGAIN,
        )
    receipt = _find_receipt(run, cleared, files.path)
    return Engine(
        cleared=cleared,
        files=files,
        manifest=manifest,
        spec=load_model_spec(files.path),
        detections=_find(
            run, rung.detections, run.folder / EVIDENCE / target, f"evidence (detections) for {target}"
        ),
        receipt=receipt[0] if receipt else None,
        machine=_machine(run.report, receipt[1] if receipt else None),
    )


def find_data(run: Run) -> Artifact:
    """Find the data set that the run was judged by.

    Raises:
        UsageError: It is gone, or was changed.
    """
    return find_index(run.report, run.folder)


def weights_digest(run: Run) -> str:
    """Give the digest of the weights that training began with; empty where the store has forgotten."""
    for step in run.report.steps:
        entry = run.store.find(step.key) if step.stage == "train" else None
        inputs: Any = entry.record.get("inputs", {}) if entry else {}
        if isinstance(inputs, dict) and isinstance(inputs.get("weights"), str):
            return str(inputs["weights"])
    return ""


def _find(run: Run, digest: str, folder: Path, what: str) -> Artifact:
    """Find an artifact in the run's folder, or else in the store, which has all of a run by digest.

    A run that was refused hands out none; and by an override another one may ship than was handed out.
    """
    is_there = folder.is_dir() and any(folder.iterdir())
    if is_there and (found := Artifact.of(folder)).digest == digest:
        return found
    for entry in _entries(run.store):
        name = next(_names_of(entry.record.get("result"), digest), None)
        if name is not None:
            return run.store.open(entry, name, digest)
    if is_there:
        raise EvidenceError(
            f"The {what} is not the one that run {run.report.run} judged: {folder} was changed.", hint=_AGAIN
        )
    raise EvidenceError(f"The {what} of run {run.report.run} is gone: {folder}.", hint=_AGAIN)


def _entries(store: Store) -> Iterator[Entry]:
    return (entry for key in store.step_keys() if (entry := store.find(key)) is not None)


def _names_of(value: Any, digest: str) -> Iterator[str]:
    """Give the names of artifacts of a digest in a step's result."""
    if isinstance(value, dict):
        if digest and value.get("digest") == digest and isinstance(value.get("path"), str):
            yield value["path"]
        for inner in value.values():
            yield from _names_of(inner, digest)
    elif isinstance(value, list):
        for inner in value:
            yield from _names_of(inner, digest)


def _find_receipt(run: Run, cleared: Cleared, engine: Path) -> tuple[Path, Receipt] | None:
    """Find the receipt of the board that built and measured an engine; None where none was asked.

    Raises:
        EvidenceError: There is none, or it is about another engine.
        BudgetError: A stand-in wrote it.
    """
    board, target = cleared.result.board, cleared.target
    if board is None and cleared.result.profile.get("local", True):
        return None
    kit = board.facts.get("kit", "") if board else ""
    for entry in _entries(run.store):
        if not kit or not str(entry.record.get("kit", "")).startswith(kit):
            continue
        given = entry.record["result"]["receipt"]
        folder = run.store.open(entry, given["path"], given["digest"]).path
        receipt = load_receipt(folder)
        if receipt.simulated:
            raise BudgetError(
                f"The receipt for {target} is simulated: no device built this engine.",
                hint="Run the kit on the device; no override releases what none has measured.",
            )
        _compare(receipt, cleared.rung, engine, target)
        return folder, receipt
    raise EvidenceError(f"The receipt for {target} is gone from {run.store.root}.", hint=_AGAIN)


def _compare(receipt: Receipt, rung: Rung, engine: Path, target: str) -> None:
    """Refuse a receipt that is about other files, or another measurement."""
    name = next((one.id for one in receipt.engines if one.precision == rung.precision), "")
    listed = {
        file.removeprefix(f"engines/{name}/"): entry
        for file, entry in receipt.files.items()
        if file.startswith(f"engines/{name}/")
    }
    there = {file.name: describe_file(file) for file in engine.iterdir()}
    if listed != there or receipt.measured_at != rung.measured_at:
        raise EvidenceError(
            f"The receipt for {target} is about another engine or another measurement: a later one came in.",
            hint=_AGAIN,
        )


def _machine(report: RunReport, receipt: Receipt | None) -> str:
    """Give the CPU that an engine was built on."""
    words = (receipt.identity.os if receipt else report.host.get("os", "")).split()
    return words[-1] if words else ""


def receipt_file(folder: Path) -> Path:
    """Give the file of a receipt's folder that says it all."""
    return folder / RECEIPT
