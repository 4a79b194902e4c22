"""Documents of a release: what people and later runs read, under the names they are pulled by."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.baseline import EVIDENCE
from pipeline.ladder import RunReport, TargetResult
from pipeline.release.card import Subject, model_card
from pipeline.release.parts import Engine, Run, find_data, weights_digest
from pipeline.release.provenance import provenance
from pipeline.release.sbom import sbom
from pipeline.report.gallery import album_of
from pipeline.report.html import page
from pipeline.report.markdown import markdown
from stages.dataset import load_dataset, save_dataset
from targets.release.facts import FILE_NAME, dump
from targets.release.names import evidence_name

LICENCE, CARD = "LICENSE", "MODEL_CARD.md"
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")


def write_common(about: Subject, out: Path) -> None:
    """Write what an engine and the documents have alike: facts, licence, card."""
    out.mkdir(parents=True, exist_ok=True)
    _write(out / FILE_NAME, dump(about.facts))
    _write(out / LICENCE, about.licence.text)
    _write(out / CARD, model_card(about))


def write_documents(about: Subject, run: Run, subjects: Mapping[str, str], out: Path) -> None:
    """Write the documents.

    Args:
        about: The release.
        run: It is made of.
        subjects: Digest of each engine's manifest, by target.
        out: A folder to fill.
    """
    write_common(about, out)
    report = public(about.report, about.engines)
    album = album_of(about.report, run.folder) if about.pictures else (lambda _: None)
    _write(out / "report.json", report.to_json(indent=1) + "\n")
    _write(out / "report.html", page(report, album))
    _write(out / "summary.md", markdown(report))
    _write(out / "sbom.cdx.json", sbom(about.facts, report, about.engines, about.licence))
    _write(
        out / "provenance.json",
        provenance(about.facts, report, subjects, weights_digest=weights_digest(run)),
    )
    _write_evidence(run, about.engines, out / EVIDENCE)


def public(report: RunReport, engines: Sequence[Engine]) -> RunReport:
    """Give a report as it may be published, and as a later run can be held against it.

    Paths of this machine are left out, and credentials in addresses. What ships says so, overruled or not.
    """
    targets = {name: _public(name, target, engines) for name, target in report.targets.items()}
    return replace(report, targets=targets, run_dir="", pictures="", settings=_cleaned(report.settings))


def _public(name: str, target: TargetResult, engines: Sequence[Engine]) -> TargetResult:
    engine = next((one for one in engines if one.cleared.target == name), None)
    if engine is None:
        return replace(target, engine=None, ships=None, kit=None)
    reasons = tuple(
        f"released all the same: {one.override.rule} is overruled ({one.override.why})"
        for one in {each.override: each for each in engine.cleared.overruled}.values()
    )
    return replace(
        target,
        engine=None,
        ships=engine.cleared.rung.id,
        precision=engine.manifest.precision,
        runtime=engine.manifest.runtime,
        reasons=(*target.reasons, *reasons),
        kit=None,
    )


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return _CREDENTIALS.sub("***@", value)
    if isinstance(value, Mapping):
        return {key: _cleaned(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_cleaned(item) for item in value]
    return value


def _write_evidence(run: Run, engines: Sequence[Engine], out: Path) -> None:
    """Write what the engines found, and the labels of the validation pictures; no training picture's."""
    index = out / "index"
    index.mkdir(parents=True)
    save_dataset(replace(load_dataset(find_data(run)), train=(), calibration=()), index)
    for engine in engines:
        shutil.copytree(
            engine.detections.path, out / evidence_name(engine.cleared.target), copy_function=shutil.copyfile
        )


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="replace")
