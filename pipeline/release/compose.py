"""Compose: the facts of a release, and the files of each engine, in folders that are pushed as they are."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipeline.ladder import RunReport
from pipeline.release.card import Subject
from pipeline.release.documents import write_common
from pipeline.release.parts import Engine, Run, find_data, receipt_file
from pipeline.release.proof import write_proof
from targets.platforms import load_jetpacks
from targets.release.facts import Override, ReleaseFacts


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What a release is called.

    Attributes:
        name: Of the model.
        channel: As `stable`.
        sequence: Higher than that of every earlier release of the channel.
        created: When.
        expires: When it ends; empty if never.
    """

    name: str
    channel: str
    sequence: int
    created: datetime
    expires: str


def facts_of_all(report: RunReport, engines: Sequence[Engine], labels: Labels) -> ReleaseFacts:
    """Give what holds for all engines of a release."""
    spec = engines[0].spec
    overrides: dict[Override, None] = {}
    for engine in engines:
        overrides |= dict.fromkeys(engine.cleared.overrides)
    return ReleaseFacts(
        name=labels.name,
        channel=labels.channel,
        sequence=labels.sequence,
        run=report.run,
        created=labels.created.isoformat(timespec="seconds"),
        expires=labels.expires,
        target="",
        runtime="",
        runtime_version="",
        sm="",
        module="",
        machine="",
        jetpack="",
        l4t=(),
        precision="",
        input=(spec.input.height, spec.input.width),
        family=spec.family,
        data_digest=report.data,
        map50_95=None,
        drift_pt=None,
        p50_ms=None,
        p99_ms=None,
        overrides=tuple(overrides),
        edgebound=edgebound_version(),
    )


def facts_of(engine: Engine, common: ReleaseFacts) -> ReleaseFacts:
    """Give what a device chooses an engine by."""
    manifest, rung = engine.manifest, engine.cleared.rung
    profile = manifest.profile
    jetpack = load_jetpacks().get(profile.jetpack)
    latency = rung.latency_ms
    return replace(
        common,
        target=engine.cleared.target,
        runtime=manifest.runtime,
        runtime_version=manifest.runtime_version,
        sm=manifest.facts.get("sm", "") or profile.sm,
        module=profile.module,
        machine=profile.machine or ("" if profile.module else engine.machine),
        jetpack=profile.jetpack,
        l4t=jetpack.l4t if jetpack else (),
        precision=manifest.precision,
        input=(engine.spec.input.height, engine.spec.input.width),
        family=engine.spec.family,
        map50_95=_finite(rung.map50_95),
        drift_pt=_finite(rung.drift_pt),
        p50_ms=_finite(latency.p50) if latency else None,
        p99_ms=_finite(latency.p99) if latency else None,
        overrides=engine.cleared.overrides,
    )


def write_engine(about: Subject, engine: Engine, run: Run, out: Path) -> int:
    """Write all files of one engine's manifest; give how many pictures go with it.

    Args:
        about: The release, with the facts of this engine.
        engine: That.
        run: It comes from.
        out: A folder to fill.
    """
    pictures = write_proof(engine, run, find_data(run), most=about.pictures, out=out / "proof")
    if engine.receipt:
        shutil.copyfile(receipt_file(engine.receipt), out / "proof" / "receipt.json")
    shutil.copytree(engine.files.path, out / "engine", copy_function=shutil.copyfile)
    write_common(replace(about, pictures=pictures, engines=(engine,)), out)
    return pictures


def _finite(figure: float) -> float | None:
    return figure if figure - figure == 0 else None


def edgebound_version() -> str:
    """Give this program's version."""
    try:
        return version("edgebound")
    except PackageNotFoundError:
        return "unknown"
