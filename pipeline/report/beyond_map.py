"""What mAP does not show: sizes of boxes, confidence, detections at the deployed confidence, tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.ladder import Rung, TargetResult
from pipeline.report.markup import Markup, tag
from pipeline.report.tables import head, number, table, verdict_word
from pipeline.report.words import NONE, figure, interval
from stages.evaluation.scores import Loss

_SIZES = {"small": "up to 32² pixels", "medium": "up to 96²", "large": "beyond"}


@dataclass(frozen=True)
class _Row:
    """One measure.

    Attributes:
        note: What belongs to its name.
        baseline: The baseline's figure.
        cell: Gives an engine's figure, and what is to be said of it.
        check: What the gate calls it.
    """

    name: str
    note: str
    baseline: str
    cell: Callable[[Rung], tuple[str, str]]
    check: str = ""


def beyond_map_table(target: TargetResult) -> Markup | None:
    """Show what became of the baseline's strengths in each engine, and what the gate says of it."""
    rungs = [rung for rung in target.ladder if rung.candidate and rung.deployed]
    if not rungs:
        return None
    heads = head("measure", "baseline#", *(f"{rung.label}#" for rung in rungs))
    rows = (*_sizes(rungs[0]), *_confidence(rungs[0]), *_at_threshold(rungs[0]), *_released(rungs))
    return table("What mAP does not show", heads, [_markup(row, rungs) for row in rows])


def _markup(row: _Row, rungs: Sequence[Rung]) -> Markup:
    title = tag("th", row.name, tag("small", row.note) if row.note else None, scope="row")
    return tag(
        "tr", title, tag("td", row.baseline, class_="number"), [_engine_cell(row, rung) for rung in rungs]
    )


def _engine_cell(row: _Row, rung: Rung) -> Markup:
    value, note = row.cell(rung)
    verdict = next((check.verdict for check in rung.checks if check.measure == row.check), None)
    small = tag("small", note) if note else None
    return tag("td", value, small, verdict_word(verdict), class_="number")


def _sizes(first: Rung) -> Iterator[_Row]:
    for size in first.sizes:

        def cell(rung: Rung, name: str = size.name) -> tuple[str, str]:
            own = next((one for one in rung.sizes if one.name == name), None)
            return _less(own.candidate, own.loss) if own else (NONE, "")

        yield _Row(
            f"mAP50-95, {size.name} boxes", f"{_SIZES.get(size.name, '')}; {size.boxes} boxes",
            figure(size.baseline, 3), cell, f"mAP50-95 loss of {size.name} boxes",
        )  # fmt: skip


def _confidence(first: Rung) -> Iterator[_Row]:
    if first.threshold:
        yield _Row(
            "confidence of the best F1", "", figure(first.threshold.baseline), _threshold,
            "shift of the best threshold",
        )  # fmt: skip
    if first.true_scores:
        yield _Row(
            "score of right detections", "median; at any confidence", _known(first.true_scores.baseline),
            _true_scores, "distance of right scores",
        )  # fmt: skip


def _threshold(rung: Rung) -> tuple[str, str]:
    shift = rung.threshold
    if shift is None:
        return NONE, ""
    spread = f" ({interval(shift.interval)})" if abs(shift.interval[0]) < 1 else ""  # else too few pictures
    return figure(shift.candidate), f"moved by {figure(shift.shift)}{spread}"


def _true_scores(rung: Rung) -> tuple[str, str]:
    scores = rung.true_scores
    if scores is None or scores.distance is None:
        return NONE, ""
    return _known(scores.candidate), f"moved by {figure(scores.distance, 3)} on average"


def _at_threshold(first: Rung) -> Iterator[_Row]:
    deployed = first.deployed
    assert deployed
    at = f"at confidence {deployed.conf:g}"

    def precision(rung: Rung) -> tuple[str, str]:
        own = rung.deployed
        return _less(own.candidate.precision, own.precision_loss) if own else (NONE, "")

    def recall(rung: Rung) -> tuple[str, str]:
        own = rung.deployed
        return _less(own.candidate.recall, own.recall_loss) if own else (NONE, "")

    base = deployed.baseline
    yield _Row("precision", at, _known(base.precision), precision, f"precision loss {at}")
    yield _Row("recall", at, figure(base.recall, 3), recall, f"recall loss {at}")
    yield _Row("detections lost", at, f"of {base.detections}", _lost, f"detections lost {at}")
    yield _Row("detections gained", at, NONE, _gained)


def _lost(rung: Rung) -> tuple[str, str]:
    changes = rung.changes
    if changes is None:
        return NONE, ""
    share = changes.lost_share
    said = f"{figure(share.loss_pt, 1)} % ({interval(share.interval_pt)}); " if share else ""
    return str(changes.lost), f"{said}{changes.missed} of them labelled"


def _gained(rung: Rung) -> tuple[str, str]:
    changes = rung.changes
    return (str(changes.gained), f"{changes.false_alarms} of them false") if changes else (NONE, "")


def _released(rungs: Sequence[Rung]) -> Iterator[_Row]:
    first = next((rung.released for rung in rungs if rung.released), None)
    if first:
        note = f"{first.label} of run {first.run}, in points of mAP50-95"
        yield _Row("loss against the last release", note, NONE, _against_release)


def _against_release(rung: Rung) -> tuple[str, str]:
    own = rung.released
    return (figure(own.drift_pt), interval(own.drift_ci_pt)) if own else (NONE, "")


def _less(value: float | None, loss: Loss | None) -> tuple[str, str]:
    """Say a figure and what was lost of it, in points."""
    if loss is None or abs(loss.interval_pt[0]) == 100:  # too few pictures to tell
        return _known(value), ""
    return _known(value), f"loss {figure(loss.loss_pt)} pt ({interval(loss.interval_pt)})"


def _known(value: float | None) -> str:
    return figure(math.nan if value is None else value, 3)


def parity_table(target: TargetResult) -> Markup | None:
    """Show how far tensors are from those of the form before."""
    labels = {rung.id: rung.label for rung in target.ladder}
    rows = [
        tag(
            "tr",
            tag("th", rung.label, tag("small", f"from {labels.get(rung.parent or '', NONE)}"), scope="row"),
            tag("td", tag("code", one.point)),
            number(one.cosine, 6),
            number(one.max_abs, 4),
            number(one.sqnr_db, 1),
        )
        for rung in target.ladder
        for one in rung.parity
    ]
    heads = head("form", "tensor", "cosine#", "largest difference#", "SQNR, dB#", sortable=True)
    return table("Tensors, form by form", heads, rows) if rows else None
