"""Conduct a release: judge the run again, find its files, write what goes with them, publish."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.gate import EXIT_CODES, SEVERITY
from pipeline.ladder import RunReport
from pipeline.rejudge import load_rules, rejudge
from pipeline.release.card import Subject
from pipeline.release.compose import Labels, facts_of, facts_of_all, write_engine
from pipeline.release.documents import write_documents
from pipeline.release.licence import find_licence
from pipeline.release.overrule import Cleared, Held, clear
from pipeline.release.parts import Run, find_engine
from pipeline.release.publish import Shelf, last_release, next_sequence
from pipeline.report.load import load_report
from pipeline.sections import ReleaseSection
from pipeline.store import Store
from targets.errors import BudgetError, EdgeboundError, EvidenceError, UnsupportedError
from targets.registry.content import Descriptor
from targets.registry.reference import Reference
from targets.release.facts import Override, ReleaseFacts

_ERRORS: Mapping[int, type[EdgeboundError]] = {3: BudgetError, 4: EvidenceError, 5: UnsupportedError}


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked for.

    Attributes:
        root: Of the project.
        folder: Of the run.
        reference: Where to, without a tag.
        channel: Whose tag is moved.
        overrides: Rules that somebody answers for.
        settings: `build.…`, `gate.…` or `verify.…`, to judge by; applied to those of the run.
        expires: When it ends, ISO 8601, UTC; empty if never.
        section: `release:` of the configuration.
        again: Release even what the channel has already.
        now: With its zone.
    """

    root: Path
    folder: Path
    reference: Reference
    channel: str
    overrides: Sequence[Override] = ()
    settings: Sequence[str] = ()
    expires: str = ""
    section: ReleaseSection = field(default_factory=ReleaseSection)
    again: bool = False
    now: datetime = field(default_factory=lambda: datetime.now(timezone.utc))


@dataclass(frozen=True, kw_only=True)
class Released:
    """A release.

    Attributes:
        digest: Of its index.
        facts: By target; of the documents under the empty name.
        manifests: Digest of each manifest, likewise.
        held: Targets that were left out.
        already: The channel had it, and nothing was done.
        key_id: Of the key that signed it; empty where nothing was.
    """

    digest: str
    facts: Mapping[str, ReleaseFacts]
    manifests: Mapping[str, str]
    held: Sequence[Held] = ()
    already: bool = False
    key_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A run that may be released, at least in part.

    Attributes:
        report: As judged now.
        cleared: What is released.
        held: What is not.
    """

    report: RunReport
    cleared: Sequence[Cleared]
    held: Sequence[Held]


def judge(order: Order) -> Judged:
    """Judge a run again, and hold the overrides against what the gate says.

    Raises:
        BudgetError: The gate refuses it, or it is a demo.
        EvidenceError: The gate is open: evidence is missing or too old, or a stand-in gave it.
        UsageError: An override overrules nothing.
    """
    report = load_report(order.folder)
    rules = load_rules(report, None, order.settings, folder=order.root)
    judged = rejudge(report, rules, now=order.now)
    cleared, held = clear(judged, rules, order.overrides)
    if not cleared:
        raise _refusal(judged.run, held)
    return Judged(report=judged, cleared=cleared, held=held)


def release(order: Order, judged: Judged, shelf: Shelf) -> Released:
    """Release a run.

    Raises:
        EvidenceError: A file of the run is gone, or was changed.
        TrustError: What can be read back is not what was signed.
        RegistryError: The registry cannot be read or written.
    """
    report = judged.report
    run = Run(report=report, folder=order.folder, store=Store(order.root / ".edgebound"))
    before = last_release(shelf.repository, order.channel)
    if before and not order.again and {one.run for one in before[1].values()} == {report.run}:
        return _already(before, judged.held)
    engines = tuple(find_engine(run, one) for one in judged.cleared)
    labels = Labels(
        name=name_of(order),
        channel=order.channel,
        sequence=next_sequence(before[1] if before else {}, order.now),
        created=order.now,
        expires=order.expires,
    )
    about = Subject(
        facts=facts_of_all(report, engines, labels),
        report=report,
        engines=engines,
        held=judged.held,
        licence=find_licence(order.section.license, order.root),
        reference=_shown(order.reference),
        key_id=shelf.signer.key_id,
        pictures=order.section.pictures,
    )
    return _publish(about, run, shelf)


def _publish(about: Subject, run: Run, shelf: Shelf) -> Released:
    """Write and push the engines, then the documents that name their digests, then the index."""
    facts, pushed = dict[str, ReleaseFacts](), dict[str, Descriptor]()
    pictures = 0
    with TemporaryDirectory(prefix="release-") as scratch:
        for engine in about.engines:
            target = engine.cleared.target
            facts[target] = facts_of(engine, about.facts)
            folder = Path(scratch) / f"engine-{len(pushed)}"
            pictures += write_engine(replace(about, facts=facts[target]), engine, run, folder)
            pushed[target] = shelf.put(folder, facts[target])
        subjects = {target: one.digest for target, one in pushed.items()}
        write_documents(replace(about, pictures=pictures), run, subjects, Path(scratch) / "documents")
        facts[""], pushed[""] = about.facts, shelf.put(Path(scratch) / "documents", about.facts)
    index = shelf.tag(tuple(pushed.values()), about.facts.run)
    return Released(
        digest=index.digest,
        facts=facts,
        manifests={target: one.digest for target, one in pushed.items()},
        held=tuple(about.held),
        key_id=shelf.signer.key_id,
    )


def _already(before: tuple[Descriptor, Mapping[str, ReleaseFacts]], held: Sequence[Held]) -> Released:
    found, facts = before
    return Released(
        digest=found.digest,
        facts={one.target: one for one in facts.values()},
        manifests={one.target: digest for digest, one in facts.items()},
        held=tuple(held),
        already=True,
    )


def _shown(reference: Reference) -> str:
    """Give where a release is for those who read its card: of a folder its name, wherever it lies here."""
    return str(
        replace(reference, place=Path(reference.place).name) if reference.kind == "folder" else reference
    )


def name_of(order: Order) -> str:
    """Give the name of a release: as it is set, or the repository's, or the project's."""
    reference = order.reference
    given = order.section.name or (reference.name.rpartition("/")[2] if reference.kind == "registry" else "")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", given or order.root.resolve().name).strip("-._")
    return name[:128] or "detector"


def _refusal(run: str, held: Sequence[Held]) -> EdgeboundError:
    """Give the error for a run of which nothing can be released, of the worst target's code."""
    worst = min(held, key=lambda one: SEVERITY.index(one.verdict)) if held else None
    reasons = [f"{one.target}: {reason}" for one in held for reason in one.reasons[:5]]
    rules = list(dict.fromkeys(rule for one in held for rule in one.rules))
    kind = _ERRORS.get(EXIT_CODES[worst.verdict], EdgeboundError) if worst else EvidenceError
    hint = "Run the pipeline again with what is missing; done steps are not done again."
    if rules:
        named = " ".join(f"--override '{rule}=WHY'" for rule in rules)
        hint = f"Run again for a fresh verdict, or answer for it, signed and published: {named}"
    why = "; ".join(reasons) or "it has no target"
    return kind(f"Run {run} cannot be released: {why}.", hint=hint)
