"""Model card: what a release is, what was measured of it, where it ends, and how to get it. Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.ladder import RunReport
from pipeline.release.licence import Licence
from pipeline.release.overrule import Cleared, Held
from pipeline.release.parts import Engine
from pipeline.report.words import NONE, figure, interval, moment, printable, size
from pipeline.rung import Rung
from targets.release.facts import ReleaseFacts

_SPECIAL = re.compile(r"([\\`*_{}\[\]#!|~$])")
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "@": "&#64;"}
_LADDER = ("form", "mAP50-95", "drift, pt", "95 % interval", "p50, ms", "p99, ms", "measured on", "size")
_CLASSES = ("class", "boxes", "AP50", "AP50-95", "AP50 loss, pt")
_MOST_CLASSES = 100


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a card is about.

    Attributes:
        facts: Of the release; of one engine, or of all.
        report: Of the run, as judged at the release.
        engines: That are released.
        held: Targets that are not.
        licence: Of all.
        reference: Where it is put, without a tag.
        key_id: Of the key that signs it.
        pictures: Validation pictures that it contains.
    """

    facts: ReleaseFacts
    report: RunReport
    engines: Sequence[Engine]
    held: Sequence[Held]
    licence: Licence
    reference: str
    key_id: str
    pictures: int


def model_card(about: Subject) -> str:
    """Give the card."""
    parts = (_head(about), _get(about), _measured(about), _classes(about), _limits(about), _terms(about))
    return "\n".join(line for part in parts for line in part) + "\n"


def _head(about: Subject) -> Iterator[str]:
    facts = about.facts
    yield f"# {plain(facts.name)}"
    yield ""
    height, width = about.report.conditions.imgsz if about.report.conditions else facts.input
    yield (
        f"An object detector ({plain(facts.family)}, input {height} x {width}) of {len(_names(about))} "
        f"classes: {_list(_names(about))}."
    )
    yield ""
    yield f"- channel `{facts.channel}`, sequence {facts.sequence}, released {moment(facts.created)}"
    yield f"- {'expires ' + moment(facts.expires) if facts.expires else 'does not expire'}"
    yield f"- run `{facts.run}`, edgebound {plain(facts.edgebound)}"
    yield f"- data `{facts.data_digest}`" + _counts(about.report)
    yield from (f"- engine for {_engine(one)}" for one in about.engines)
    yield from (f"- not released for {plain(one.target)}: {_list(one.reasons)}" for one in about.held)


def _engine(engine: Engine) -> str:
    manifest = engine.manifest
    return (
        f"**{plain(engine.cleared.target)}**: {manifest.precision}, {manifest.runtime} "
        f"{plain(manifest.runtime_version)}, on {plain(manifest.profile.device)}"
    )


def _counts(report: RunReport) -> str:
    data = report.data_summary
    return f", {data.train} training and {data.val} validation pictures" if data else ""


def _names(about: Subject) -> tuple[str, ...]:
    return about.engines[0].spec.class_names if about.engines else ()


def _get(about: Subject) -> Iterator[str]:
    reference = f"{about.reference}:{about.facts.channel}"
    yield from ("", "## Get it", "", "```")
    yield f"pipeline pull {reference} -o detector     # picks the engine that fits, and checks the signature"
    yield "pipeline verify detector                  # and that this device finds what the release found"
    yield from ("```", f"Signed by key `{about.key_id}`.")


def _measured(about: Subject) -> Iterator[str]:
    for engine in about.engines:
        cleared = engine.cleared
        yield from ("", f"## Measured: {plain(cleared.target)}", "")
        yield f"| {' | '.join(_LADDER)} |"
        yield f"|{'---|' * len(_LADDER)}"
        line = _line(cleared)
        yield from (_row(rung, ships=rung.id == cleared.rung.id) for rung in line)
        pictures = cleared.rung.pictures
        yield from ("", _timed(about.report, cleared))
        yield f"mAP on {pictures} validation pictures; drift is the loss against the trained model, in 0.01."


def _timed(report: RunReport, cleared: Cleared) -> str:
    """Say on what an engine was timed."""
    board = cleared.result.board
    if board is None:
        return f"Timed on {plain(report.host.get('cpu', 'a machine that is not known'))}."
    words = ("board", "JetPack", "runtime", "power mode")
    known = [f"{word} {board.facts[word]}" for word in words if word in board.facts]
    return f"Built and timed on {_list(known)}; the receipt is part of the release."


def _line(cleared: Cleared) -> list[Rung]:
    """Give the forms from the trained model to the engine."""
    forms = {rung.id: rung for rung in cleared.result.ladder}
    line = [cleared.rung]
    while line[0].parent is not None:
        line.insert(0, forms[line[0].parent])
    return line


def _row(rung: Rung, *, ships: bool) -> str:
    latency = rung.latency_ms
    cells = (
        f"**{rung.label}**" if ships else rung.label,
        figure(rung.map50_95, 3),
        figure(rung.drift_pt),
        interval(rung.drift_ci_pt) or NONE,
        figure(latency.p50) if latency else NONE,
        figure(latency.p99) if latency else NONE,
        plain(rung.host) or NONE,
        size(rung.size_bytes),
    )
    return f"| {' | '.join(cells)} |"


def _classes(about: Subject) -> Iterator[str]:
    for engine in about.engines:
        rung = engine.cleared.rung
        yield from ("", f"## Classes: {plain(engine.cleared.target)}", "")
        yield f"| {' | '.join(_CLASSES)} |"
        yield f"|{'---|' * len(_CLASSES)}"
        for one in rung.classes[:_MOST_CLASSES]:
            figures = (figure(one.ap50, 3), figure(one.ap50_95, 3), figure(one.ap50_loss_pt))
            yield f"| {' | '.join((plain(one.name), str(one.boxes), *figures))} |"
        if len(rung.classes) > _MOST_CLASSES:
            yield f"\n…and {len(rung.classes) - _MOST_CLASSES} more, in report.json of the documents."


def _limits(about: Subject) -> Iterator[str]:
    yield from ("", "## Limits", "")
    spec = about.engines[0].spec
    yield f"- Judged at confidence {spec.conf:g}, NMS IoU {spec.iou:g}, {spec.max_det} boxes a picture."
    yield "- Every figure holds for pictures like the validation pictures; nothing is known about others."
    yield "- Latency holds for the machine that it was measured on; `pipeline verify` measures on yours."
    absent = [one.name for one in about.engines[0].cleared.rung.classes if not one.boxes]
    if absent:
        yield f"- No validation picture shows: {_list(absent)}. Nothing is known about them."
    overruled = [(one.cleared.target, each) for one in about.engines for each in one.cleared.overruled]
    if not overruled:
        yield "- The gate passed; no rule was overruled."
        return
    yield from (
        "",
        "## Overruled",
        "",
        "The gate did not pass these, and they were released all the same:",
        "",
    )
    for target, one in overruled:
        yield f"- {plain(target)}, {one.form}: {plain(one.check.reason)}. Why: {plain(one.override.why)}"


def _terms(about: Subject) -> Iterator[str]:
    yield from ("", "## Licence", "", f"{plain(about.licence.name)}; the file `LICENSE` has the terms.")
    if about.pictures:
        yield (
            f"It contains {about.pictures} validation pictures, which `pipeline verify` looks at; the data "
            "set's own licence holds for them."
        )


def _list(names: Sequence[str], most: int = 20) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(plain, names[:most])) + more


def plain(text: str) -> str:
    """Give text that Markdown shows as it is: names of classes and reasons are no markup."""
    escaped = _SPECIAL.sub(r"\\\1", printable(" ".join(text.split())))
    return "".join(_ENTITIES.get(one, one) for one in escaped)
