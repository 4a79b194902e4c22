"""Bisect: the first layer at which a form of a stored run departs from the form it was made from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.ladder import Rung, RunReport, TargetResult
from pipeline.report.load import load_report
from pipeline.runner import Runner
from pipeline.store import Entry, Store
from stages.artifact import Artifact
from stages.evaluation.parity import PointParity
from stages.verify.parity import Parity, ParityInputs
from targets.errors import EvidenceError, UsageError
from targets.host import describe_host, fingerprint
from targets.profile import Precision, TargetProfile

LIMITS_DB: Mapping[Precision, float] = {"fp32": 60.0, "fp16": 25.0, "int8": 5.0}
"""Least signal to noise of a healthy layer, by the form's precision. Measured on a YOLO11n of the demo, 8
pictures: the export 117 dB at its worst layer; INT8 8.5 dB at its worst layer, and 28 dB at its scores."""
_SAME_NETWORK = ("export", "quantize", "build")  # pruned and distilled forms are other networks, on purpose


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is looked for.

    Attributes:
        form: Id or label of a rung, as `quantize-int8` or `openvino int8`; empty: the first that departs.
        target: Whose ladder; empty: the run's only one.
        limit_db: Signal to noise below which a layer departs; None: by precision, `LIMITS_DB`.
        pictures: The most to look at.
    """

    form: str = ""
    target: str = ""
    limit_db: float | None = None
    pictures: int = 8


@dataclass(frozen=True, kw_only=True)
class Bisected:
    """One form, layer by layer, beside the form it was made from.

    Attributes:
        form: Id of the rung; `parent` likewise.
        label: The form in two words.
        layers: In the order in which they are computed; what the model answers comes last.
        first: The first that departs; None where none does.
        pictures: How many were looked at.
    """

    form: str
    parent: str
    label: str
    limit_db: float
    layers: tuple[PointParity, ...]
    first: str | None
    pictures: int

    def to_json(self) -> str:
        """Give it as strict JSON: a figure that is not finite is null."""
        record = asdict(self)
        for layer in record["layers"]:
            for key in ("cosine", "max_abs"):
                layer[key] = layer[key] if abs(layer[key]) < float("inf") else None
        return json.dumps(record, allow_nan=False)


def bisect(folder: Path, question: Question, runner: Runner) -> Bisected:
    """Look at one form, or at all until one departs.

    Args:
        folder: Of a run whose results are in the runner's store.
        question: What to look for.
        runner: Keeps what was found, so that a second look is quick.

    Returns:
        The form asked for; or the first that departs, or else the last of the ladder.

    Raises:
        UsageError: There is no such target or form, or the form is another network than its parent.
        EvidenceError: A form, or the pictures, are no longer here; or the form runs on a board only.
        EdgeboundError: The run's report cannot be read.
    """
    report = load_report(folder)
    target, kept = _target(report, question.target), _Kept(folder, report, runner.store)
    found: Bisected | None = None
    for rung in _rungs(target, question.form):
        found = _look(kept, target, rung, question, runner)
        if found.first is not None:
            break
    if found is None:
        raise EvidenceError("The run has no form that can be compared here.", hint="Look at its report.")
    return found


def _target(report: RunReport, name: str) -> TargetResult:
    if not name and len(report.targets) == 1:
        return next(iter(report.targets.values()))
    if name not in report.targets:
        raise UsageError(
            f"The run has no target '{name}'." if name else "The run has more than one target.",
            hint=f"Name one with --target: {', '.join(report.targets)}.",
        )
    return report.targets[name]


def _rungs(target: TargetResult, form: str) -> Sequence[Rung]:
    """Give the rungs to look at, in order."""
    here = [one for one in target.ladder if _why_not(one, target) == ""]
    if not form:
        return here
    for rung in target.ladder:
        if form in (rung.id, rung.label):
            if why := _why_not(rung, target):
                raise (EvidenceError if rung.candidate else UsageError)(
                    f"{rung.label} cannot be bisected: {why}.", hint=_names(here)
                )
            return [rung]
    raise UsageError(f"The run has no form '{form}'.", hint=_names(here))


def _why_not(rung: Rung, target: TargetResult) -> str:
    if rung.form not in _SAME_NETWORK:
        return "it is another network than the form before it, on purpose"
    if rung.candidate and not target.profile.get("local", True):
        return "it runs on its board only"
    if rung.candidate and rung.verdict in ("unsupported", "error"):
        return "it was not built"
    return ""


def _names(rungs: Sequence[Rung]) -> str:
    return f"Choose one of: {', '.join(rung.id for rung in rungs)}."


def _look(kept: _Kept, target: TargetResult, rung: Rung, question: Question, runner: Runner) -> Bisected:
    parent = next(one for one in target.ladder if one.id == rung.parent)
    inputs = ParityInputs(
        reference=kept.artifact(parent.digest, parent.label),
        candidate=kept.artifact(rung.digest, rung.label),
        index=kept.index(),
        pictures=kept.pictures(),
        profile=_profile(target) if rung.candidate else None,
        host=fingerprint(describe_host()) if rung.candidate else "",
    )
    stage = Parity(layers=True, pictures=question.pictures)
    found = runner(stage, inputs, label=f"{rung.label} beside {parent.label}, layer by layer")
    limit_db = LIMITS_DB[rung.precision] if question.limit_db is None else question.limit_db
    return Bisected(
        form=rung.id,
        parent=parent.id,
        label=rung.label,
        limit_db=limit_db,
        layers=found.points,
        first=next((one.point for one in found.points if not one.sqnr_db >= limit_db), None),
        pictures=found.pictures,
    )


def _profile(target: TargetResult) -> TargetProfile:
    from pydantic import TypeAdapter

    return TypeAdapter(TargetProfile).validate_python(target.profile)


class _Kept:
    """What the store still has of a run."""

    def __init__(self, folder: Path, report: RunReport, store: Store) -> None:
        self._pictures = (folder / report.pictures).resolve() if report.pictures else None
        self._store = store
        found = (store.find(step.key) for step in report.steps)
        self._entries = [entry for entry in found if entry is not None]

    def artifact(self, digest: str, what: str) -> Artifact:
        """Give the artifact with a digest, whichever step made it.

        Raises:
            EvidenceError: No step of the run that the store has did.
        """
        for entry in self._entries:
            for name, own in _artifacts(entry.record["result"]):
                if own == digest:
                    return self._store.open(entry, name, digest)
        raise EvidenceError(
            f"{what} is not in {self._store.root} any more, or the run was another version's.",
            hint="Run the pipeline again, with the same settings; then bisect that run.",
        )

    def index(self) -> Artifact:
        """Give the prepared data set."""
        result = self._data().record["result"]["index"]
        return self.artifact(result["digest"], "The data set")

    def pictures(self) -> Artifact:
        """Give the folder that pictures are in; each is checked when it is read."""
        if self._pictures is None or not self._pictures.is_dir():
            raise EvidenceError(
                f"The run's pictures are not there any more: {self._pictures}.", hint="Put them back."
            )
        return Artifact(self._pictures, self._data().record["result"]["pictures_digest"])

    def _data(self) -> Entry:
        for entry in self._entries:
            if "pictures_digest" in entry.record["result"]:
                return entry
        raise EvidenceError(
            f"The data set is not in {self._store.root} any more.", hint="Run the pipeline again."
        )


def _artifacts(result: Any) -> Iterator[tuple[str, str]]:
    """Give name and digest of each artifact in a stored result."""
    if isinstance(result, dict):
        if result.keys() == {"path", "digest"}:
            yield result["path"], result["digest"]
        result = list(result.values())
    if isinstance(result, list):
        for one in result:
            yield from _artifacts(one)
